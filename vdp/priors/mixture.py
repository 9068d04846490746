"""A mixture of diagonal Gaussians over the whole latent, with learned weights and moments."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.dists import Normal, mixture_log_prob
from vdp.priors.density import DensityPrior
from vdp.priors.noise import MixtureNoise, PosteriorNoise
from vdp.settings.rules import Checked, Positive, Size
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Purpose, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturePrior(DensityPrior, Checked):
    """The mixture log p(z) = logsumexp_k [log pi_k + sum_d log N_kd(z_d)]: components joint over d.

    Attributes:
      num_components: K.
      spread: standard deviation of the initial means; at 0 all components would stay alike.
    """

    num_components: Size = 100
    spread: Positive = 1.0

    points = ("logits", "mean", "log_var")

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"logits" [K], "mean", "log_var" [K, *z_shape]}; no stats."""
        shape = (self.num_components, *z_shape)
        mean = self.spread * draws.normal(rng, shape)
        return {
            "logits": jnp.zeros(self.num_components),
            "mean": mean,
            "log_var": jnp.zeros(shape),
        }, {}

    def log_prob(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        encode: Encode | None = None,
    ) -> Float32[Array, "b"]:
        """Log density log p(z), [B]."""
        components = Normal(params["mean"], params["log_var"])
        return mixture_log_prob(jax.nn.log_softmax(params["logits"]), components, z)

    def draw(
        self, rng: Key, num: int, z_shape: Shape, *, purpose: Purpose
    ) -> PosteriorNoise | MixtureNoise:
        """The noise of one posterior draw or, for purpose="sample", a `MixtureNoise` of samples."""
        if purpose != "sample":
            return super().draw(rng, num, z_shape, purpose=purpose)
        choice_rng, z_rng = jax.random.split(rng)
        gumbel = draws.gumbel(choice_rng, (num, self.num_components))
        return MixtureNoise(gumbel=gumbel, z=draws.normal(z_rng, (num, *z_shape)))

    def sample(
        self,
        params: Params,
        stats: Stats,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        temperature: float = 1.0,
        noise: Noise = None,
    ) -> Float[Array, "{num} *s"]:
        """Draws z [num, *z_shape], a component for each; `temperature` scales its deviations."""
        drawn = self._noise_of_sample(MixtureNoise, noise, rng, num, z_shape)
        index = jnp.argmax(drawn.gumbel + params["logits"][None], axis=-1)
        chosen = Normal(params["mean"][index], params["log_var"][index])
        return chosen.sample(temperature * drawn.z)


make = MixturePrior
