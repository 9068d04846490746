"""Discretised logistic pixels over any number of levels (after Salimans et al. 2017)."""

import dataclasses

import jax
from jaxtyping import Float, Float32, UInt8

from vdp import dists, draws
from vdp.likelihoods.location_scale import LocationScale
from vdp.types import Array, Key, Levels


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscretizedLogistic(LocationScale):
    """A logistic on [-1, 1], integrated over each level's bin; the edge bins are open."""

    discrete = True

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum of log masses over pixels, [B]."""
        location, log_scale = self.split(outputs)
        return dists.sum_nonbatch(
            dists.discretized_logistic_log_prob(target, location, log_scale, self.levels)
        )

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw, uint8 levels."""
        location, log_scale = self.split(outputs)
        return self.to_level(
            location + jax.numpy.exp(log_scale) * draws.logistic(rng, location.shape)
        )

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """Expected level / (levels - 1), in [0, 1]."""
        return dists.discretized_mean(jax.nn.sigmoid, *self.split(outputs), self.levels)


make = DiscretizedLogistic
