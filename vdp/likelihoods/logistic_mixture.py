"""Mixtures of discretised logistics over the channels of a pixel (Salimans et al. 2017).

`outputs` is [B, H, W, num_outputs(C)] for C = 1 or 3, in the order of the authors' program, so that
weights can be carried over: K mixture logits; then for every channel a group of K means, K
log-scales and, for C = 3 only, K coefficients before tanh. Those of group 0 couple red into green's
mean, of group 1 red into blue's, of group 2 green into blue's.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Real, UInt8

from vdp import dists, draws
from vdp.errors import UserError
from vdp.levels import to_symmetric
from vdp.likelihoods.location_scale import HIGHEST, LOWEST, check_levels, nearest_level
from vdp.settings.rules import Size
from vdp.types import AnyArray, Array, Key, Levels, Params

GROUP = {1: 2, 3: 3}  # channels -> what a channel has for every component


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogisticMixture:
    """The mass sum_k w_k prod_c mass_ck(x_c | earlier channels) of a pixel.

    With x in [-1, 1] and a_i the tanh of the coefficient of group i, the locations are mean_r,
    mean_g + a_0 x_r and mean_b + a_1 x_r + a_2 x_g (section 2.2 of the paper). The edge bins are
    open; log-scales are clamped to [-8, 1].
    """

    levels: int
    num_components: Size = 10
    discrete = True
    mean_is_exact = False  # of three channels, which are coupled: see `mean`

    def __post_init__(self):
        check_levels(self.levels)
        if self.num_components < 1:
            raise UserError(f"a mixture needs at least 1 component, not {self.num_components}")

    def init(self) -> Params:
        """No parameters: {}."""
        return {}

    def num_features(self, channels: int) -> int:
        """Channels the decoder's network has to give."""
        return self.num_outputs(channels)

    def attach(self, params: Params, features: Float[Array, "b h w f"]) -> Float[Array, "b h w n"]:
        """Decoder features are the outputs, as they are."""
        return features

    def num_outputs(self, channels: int) -> int:
        """Channels of `outputs`: 10 K for C = 3, 3 K for C = 1.

        Raises:
          UserError: another C.
        """
        if channels not in GROUP:
            raise UserError(
                f"a logistic mixture needs images of 1 or 3 channels, these have {channels}: "
                "choose the likelihood discretized_logistic"
            )
        return self.num_components * (1 + channels * GROUP[channels])

    def split(
        self, outputs: Float[Array, "b h w n"]
    ) -> tuple[
        Float32[Array, "b h w k"],
        Float32[Array, "b h w c k"],
        Float32[Array, "b h w c k"],
        Float32[Array, "b h w c m"],
    ]:
        """Logits [B, H, W, K]; means, clamped log-scales and coefficients [B, H, W, C, K]; float32.

        Of coefficients there are none for C = 1.

        Raises:
          UserError: another number of channels than `num_outputs` of 1 or 3.
        """
        sizes = {self.num_outputs(channels): channels for channels in GROUP}
        if outputs.shape[-1] not in sizes:
            raise UserError(f"outputs need {list(sizes)} channels, these have {outputs.shape[-1]}")
        channels, k = sizes[outputs.shape[-1]], self.num_components
        outputs = outputs.astype(jnp.float32)
        groups = outputs[..., k:].reshape(*outputs.shape[:-1], channels, GROUP[channels] * k)
        means, log_scales, raw = groups[..., :k], groups[..., k : 2 * k], groups[..., 2 * k :]
        return outputs[..., :k], means, jnp.clip(log_scales, LOWEST, HIGHEST), jnp.tanh(raw)

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum over pixels of log sum_k w_k prod_c mass_ck, [B]."""
        logits, means, log_scales, coefficients = self.split(outputs)
        channels = means.shape[-2]
        x = [self.position(target[..., c, None]) for c in range(channels)]
        m = [coupled(means, coefficients, x[:c]) for c in range(channels)]
        log_masses = dists.discretized_logistic_log_prob(
            target[..., None], jnp.stack(m, axis=-2), log_scales, self.levels
        )
        joint = jax.nn.log_softmax(logits) + log_masses.sum(axis=-2)
        return dists.sum_nonbatch(jax.nn.logsumexp(joint, axis=-1))

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw, uint8 levels; the means are coupled to the levels drawn, as in `log_prob`."""
        logits, *parameters = self.split(outputs)
        component_rng, noise_rng = jax.random.split(rng)
        k = draws.categorical(component_rng, logits)[..., None, None]
        means, log_scales, coefficients = (
            jnp.take_along_axis(part, k, axis=-1) if part.size else part for part in parameters
        )
        noise = jnp.exp(log_scales) * draws.logistic(noise_rng, means.shape)
        level: list[Array] = []
        for c in range(means.shape[-2]):
            v = coupled(means, coefficients, [self.position(x) for x in level]) + noise[..., c, :]
            level.append(nearest_level(v, self.levels))
        return jnp.concatenate(level, axis=-1)

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """Expected image in [0, 1]: exact without coupling, as for C = 1.

        Else the means of red and green stand in for their values.
        """
        logits, means, log_scales, coefficients = self.split(outputs)
        seen: list[Array] = []
        each: list[Array] = []
        for channel in range(means.shape[-2]):
            location = coupled(means, coefficients, seen)
            expected = dists.discretized_mean(
                jax.nn.sigmoid, location, log_scales[..., channel, :], self.levels
            )
            each.append(expected)
            seen.append(2 * expected - 1)
        return (jax.nn.softmax(logits)[..., None, :] * jnp.stack(each, axis=-2)).sum(axis=-1)

    def position(self, level: Real[AnyArray, "*s"]) -> Float32[AnyArray, "*s"]:
        """Where a level is on [-1, 1], float32."""
        return to_symmetric(level, self.levels)


def coupled(
    means: Float32[Array, "b h w c k"],
    coefficients: Float32[Array, "b h w c m"],
    earlier: Sequence[AnyArray],
) -> Float32[Array, "b h w k"]:
    """Location [B, H, W, K] of the channel after the values `earlier`, each [B, H, W, K or 1]."""
    c = len(earlier)
    location = means[..., c, :]
    for i, x in enumerate(earlier, start=c * (c - 1) // 2):
        location = location + coefficients[..., i, :] * x
    return location


make = LogisticMixture
