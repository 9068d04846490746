"""A Gaussian prior: N(0, I), or with `learned` a diagonal Gaussian with learned moments."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.dists import Normal
from vdp.types import Array, Noise, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalPrior:
    """p(z) = N(mean, exp(log_var)); the rate is the exact KL divergence."""

    learned: bool = False
    bound_model = "exact"
    weight_model = "exact"

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {} or {"mean", "log_var"} of z_shape, starting at N(0, I); no stats."""
        zeros = jnp.zeros(z_shape)
        return ({"mean": zeros, "log_var": zeros + 0.0} if self.learned else {}), {}

    def density(self, params, num: int, z_shape) -> Normal:
        """The prior as a Normal over [num, *z_shape]."""
        if not self.learned:
            return Normal(jnp.zeros((num, *z_shape)), jnp.zeros((num, *z_shape)))
        return Normal(*(jnp.broadcast_to(params[k], (num, *z_shape)) for k in ("mean", "log_var")))

    def draw(self, rng, num, z_shape, *, purpose) -> Noise:
        """{"z": [num, *z_shape]}: the posterior's noise."""
        return {"z": jax.random.normal(rng, (num, *z_shape))}

    def rate(
        self, params, stats, q, rng, *, encode=None, noise=None, train=False
    ) -> tuple[Array, Terms]:
        """Z ~ q and {"kl": -KL(q || p)}, exact."""
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="elbo") if noise is None else noise
        return q.sample(noise["z"]), Terms.of(kl=-q.kl(self.density(params, num, z_shape)))

    def log_prob_bound(self, params, stats, z, rng, *, encode=None) -> Terms:
        """{"log_prob": log p(z)}, exact."""
        return Terms.of(log_prob=self.density(params, len(z), z.shape[1:]).log_prob(z))

    def log_prob_weight(self, params, stats, q, rng, *, encode=None, noise=None):
        """Z ~ q and log p(z) - log q(z) at that z."""
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="weight") if noise is None else noise
        z = q.sample(noise["z"])
        return z, self.density(params, num, z_shape).log_prob(z) - q.log_prob(z)

    def sample(self, params, stats, rng, num, *, z_shape, encode=None) -> Array:
        """[num, *z_shape] draws."""
        return self.density(params, num, z_shape).sample(jax.random.normal(rng, (num, *z_shape)))


make = NormalPrior
