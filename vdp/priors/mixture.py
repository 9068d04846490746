"""A mixture of diagonal Gaussians over the whole latent, with learned weights and moments."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.dists import Normal, mixture_log_prob
from vdp.errors import UserError
from vdp.priors.density import DensityPrior
from vdp.types import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturePrior(DensityPrior):
    """log p(z) = logsumexp_k [log pi_k + sum_d log N_kd(z_d)]: components are joint over d.

    Attributes:
      num_components: K.
      spread: standard deviation of the initial means; at 0 all components would stay alike.
    """

    num_components: int = 100
    spread: float = 1.0

    def __post_init__(self):
        if self.num_components < 1 or not self.spread > 0:
            raise UserError("num_components must be at least 1 and spread above 0")

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {"logits" [K], "mean", "log_var" [K, *z_shape]}; no stats."""
        shape = (self.num_components, *z_shape)
        mean = self.spread * jax.random.normal(rng, shape)
        return {
            "logits": jnp.zeros(self.num_components),
            "mean": mean,
            "log_var": jnp.zeros(shape),
        }, {}

    def log_prob(self, params, stats, z, encode=None) -> Array:
        """log p(z), [B]."""
        components = Normal(params["mean"], params["log_var"])
        return mixture_log_prob(jax.nn.log_softmax(params["logits"]), components, z)

    def sample(self, params, stats, rng, num, *, z_shape, encode=None, temperature=1.0) -> Array:
        """[num, *z_shape] draws, one component for each; `temperature` scales its deviations."""
        choice_rng, noise_rng = jax.random.split(rng)
        index = jax.random.categorical(choice_rng, params["logits"], shape=(num,))
        chosen = Normal(params["mean"][index], params["log_var"][index])
        return chosen.sample(temperature * jax.random.normal(noise_rng, (num, *z_shape)))


make = MixturePrior
