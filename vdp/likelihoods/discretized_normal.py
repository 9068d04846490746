"""Gaussian pixels integrated over each level's bin: DDPM's end term (Ho et al. 2020)."""

import dataclasses

import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Float, Float32, UInt8

from vdp import dists, draws
from vdp.likelihoods.location_scale import LocationScale
from vdp.types import Array, Key, Levels


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscretizedNormal(LocationScale):
    """A Gaussian on [-1, 1], integrated over each level's bin; the edge bins are open."""

    discrete = True

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum of log masses over pixels, [B]."""
        log_masses = dists.discretized_normal_log_prob(target, *self.split(outputs), self.levels)
        return dists.sum_nonbatch(log_masses)

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw, uint8 levels."""
        location, log_scale = self.split(outputs)
        return self.to_level(location + jnp.exp(log_scale) * draws.normal(rng, location.shape))

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """Expected level / (levels - 1), in [0, 1]."""
        return dists.discretized_mean(ndtr, *self.split(outputs), self.levels)


make = DiscretizedNormal
