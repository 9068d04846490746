"""Bernoulli pixels; one logit a channel."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, UInt8

from vdp import dists, draws
from vdp.errors import UserError
from vdp.types import Array, Key, Levels, Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """Independent p(x = 1) = sigmoid(logit) for x in {0, 1}."""

    levels: int = 2
    discrete = True

    def __post_init__(self):
        if self.levels != 2:
            raise UserError(
                f"a Bernoulli likelihood needs images of 2 levels, these have {self.levels}: set "
                "data.binarization=dynamic or choose the likelihood discretized_logistic"
            )

    def init(self) -> Params:
        """No parameters: {}."""
        return {}

    def num_features(self, channels: int) -> int:
        """Channels the decoder's network has to give."""
        return channels

    def attach(self, params: Params, features: Float[Array, "b h w f"]) -> Float[Array, "b h w n"]:
        """Decoder features are the outputs, as they are."""
        return features

    def num_outputs(self, channels: int) -> int:
        """Channels of `outputs`."""
        return channels

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum of log-probabilities over pixels, [B]."""
        return dists.sum_nonbatch(dists.bernoulli_log_prob(outputs.astype(jnp.float32), target))

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw, uint8 in {0, 1}."""
        return draws.bernoulli(rng, jax.nn.sigmoid(outputs)).astype(jnp.uint8)

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """Expected image in [0, 1]."""
        return jax.nn.sigmoid(outputs)


make = Bernoulli
