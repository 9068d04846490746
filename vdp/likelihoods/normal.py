"""Gaussian pixels: a density over 2 * level / (levels - 1) - 1, so no bits per dimension."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Float, Float32, UInt8

from vdp import dists, draws
from vdp.likelihoods.location_scale import LocationScale
from vdp.types import Array, Key, Levels


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalLikelihood(LocationScale):
    """A Gaussian N(location, scale^2) on images scaled to [-1, 1]."""

    discrete = False

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum of log densities over pixels, [B]."""
        location, log_scale = self.split(outputs)
        return dists.Normal(location, 2 * log_scale).log_prob(self.position(target))

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw rounded to levels, uint8."""
        location, log_scale = self.split(outputs)
        return self.to_level(location + jnp.exp(log_scale) * draws.normal(rng, location.shape))

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """The location, mapped and clipped to [0, 1]."""
        return jnp.clip((self.split(outputs)[0] + 1) / 2, 0, 1)


make = NormalLikelihood
