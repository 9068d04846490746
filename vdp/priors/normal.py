"""A Gaussian prior: N(0, I), or with `learned` a diagonal Gaussian with learned moments."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.dists import Normal
from vdp.priors.density import DensityPrior
from vdp.priors.noise import BaseNoise
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Shape, Stats, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalPrior(DensityPrior):
    """The prior p(z) = N(mean, exp(log_var)); its rate is the KL divergence, exact."""

    points = ("mean", "log_var")

    learned: bool = False

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {} or {"mean", "log_var"} of z_shape, starting at N(0, I); no stats."""
        names = ("mean", "log_var") if self.learned else ()
        return {name: jnp.zeros(z_shape) for name in names}, {}

    def _normal(self, params: Params, num: int, z_shape: Shape) -> Normal:
        """The prior itself as a Normal over [num, *z_shape]."""
        if not self.learned:
            return Normal(jnp.zeros((num, *z_shape)), jnp.zeros((num, *z_shape)))
        return Normal(*(jnp.broadcast_to(params[k], (num, *z_shape)) for k in ("mean", "log_var")))

    def log_prob(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        encode: Encode | None = None,
    ) -> Float32[Array, "b"]:
        """Log density log p(z), [B]."""
        return self._normal(params, len(z), z.shape[1:]).log_prob(z)

    def rate(
        self,
        params: Params,
        stats: Stats,
        q: Normal,
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
        train: bool = False,
    ) -> tuple[Float[Array, "b *s"], Terms]:
        """Draws z ~ q, and *minus* the rate, {"kl": -KL(q || p)}, exact."""
        z = self._posterior_draw(q, rng, noise, "elbo")
        return z, Terms.of(kl=-q.kl(self._normal(params, len(z), z.shape[1:])))

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
        """Draws z [num, *z_shape]; `temperature` is a factor on the standard deviations."""
        z = self._noise_of_sample(BaseNoise, noise, rng, num, z_shape).z
        return self._normal(params, num, z_shape).sample(temperature * z)


make = NormalPrior
