"""A Gaussian prior: N(0, I), or with `learned` a diagonal Gaussian with learned moments."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.dists import Normal
from vdp.priors.density import DensityPrior
from vdp.types import Array, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalPrior(DensityPrior):
    """p(z) = N(mean, exp(log_var)); the rate is the KL divergence, exact."""

    learned: bool = False

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {} or {"mean", "log_var"} of z_shape, starting at N(0, I); no stats."""
        names = ("mean", "log_var") if self.learned else ()
        return {name: jnp.zeros(z_shape) for name in names}, {}

    def _normal(self, params, num: int, z_shape) -> Normal:
        if not self.learned:
            return Normal(jnp.zeros((num, *z_shape)), jnp.zeros((num, *z_shape)))
        return Normal(*(jnp.broadcast_to(params[k], (num, *z_shape)) for k in ("mean", "log_var")))

    def log_prob(self, params, stats, z, encode=None) -> Array:
        """log p(z), [B]."""
        return self._normal(params, len(z), z.shape[1:]).log_prob(z)

    def rate(
        self, params, stats, q, rng, *, encode=None, noise=None, train=False
    ) -> tuple[Array, Terms]:
        """z ~ q and *minus* the rate, {"kl": -KL(q || p)}, exact."""
        z = self._posterior_draw(q, rng, noise, "elbo")
        return z, Terms.of(kl=-q.kl(self._normal(params, len(z), z.shape[1:])))

    def sample(self, params, stats, rng, num, *, z_shape, encode=None, temperature=1.0) -> Array:
        """[num, *z_shape] draws; `temperature` is a factor on the standard deviations."""
        noise = temperature * jax.random.normal(rng, (num, *z_shape))
        return self._normal(params, num, z_shape).sample(noise)


make = NormalPrior
