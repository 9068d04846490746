"""The masses of every level of every pixel: how an image lies on a stack of bits."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from vdp import dists
from vdp.codec.stack import Stack
from vdp.codec.tables import Table
from vdp.errors import UserError
from vdp.likelihoods.bernoulli import Bernoulli
from vdp.likelihoods.location_scale import LocationScale
from vdp.likelihoods.logistic_mixture import LogisticMixture, coupled
from vdp.types import AnyArray, Array, Likelihood

CODED = "bernoulli, categorical, discretized_logistic, discretized_normal, logistic_mixture"


def check(likelihood: Likelihood, channels: int) -> None:
    """Refuses a likelihood that gives no mass to each level of a pixel by itself; UserError."""
    known = isinstance(likelihood, Bernoulli | LocationScale | LogisticMixture)
    coded = known or (channels == 1 and hasattr(likelihood, "levels"))
    if not likelihood.discrete or not coded:
        raise UserError(
            f"the likelihood {type(likelihood).__name__} has no table of masses of a pixel's "
            f"levels, which compression needs: {CODED} have one, and others for one channel where "
            "they are masses and have `levels`"
        )


def masses(
    likelihood: Any,
    outputs: Float[Array, "b h w n"],
    images: Int[AnyArray, "b h w c"],
    channel: Int[AnyArray, ""] | int,
) -> Float32[Array, "b p v"]:
    """Masses of all levels of one channel given the channels before it, [B, H*W, levels].

    Args:
      likelihood: whose masses of a pixel depend on that pixel's outputs alone.
      outputs: of `attach`.
      images: levels; those of `channel` and after it are not looked at.
      channel: which.
    """
    batch, height, width, channels = images.shape
    levels = jnp.arange(likelihood.levels)
    if isinstance(likelihood, LogisticMixture):
        log_masses = _of_a_mixture(likelihood, outputs, images, channel)
    else:
        parts = outputs.reshape(-1, outputs.shape[-1] // channels, channels)
        alone = jnp.take(parts, channel, axis=-1)[:, None, None]  # outputs of an image of its own

        def log_mass(level: Array) -> Array:
            return likelihood.log_prob(alone, jnp.broadcast_to(level, (len(alone), 1, 1, 1)))

        log_masses = jnp.moveaxis(jax.lax.map(log_mass, levels), 0, -1)
    table = jax.nn.softmax(log_masses, axis=-1)
    return table.reshape(batch, height * width, likelihood.levels)


def _of_a_mixture(
    likelihood: LogisticMixture,
    outputs: Float[Array, "b h w n"],
    images: Int[AnyArray, "b h w c"],
    channel: Int[AnyArray, ""] | int,
) -> Float32[Array, "b h w v"]:
    """log sum_k w_k prod_(earlier c) mass_ck(x_c) mass_k(level), up to a constant of the pixel."""
    logits, means, log_scales, coefficients = likelihood.split(outputs)
    channels = means.shape[-2]
    earlier = jnp.arange(channels) < channel
    x = [likelihood.position(images[..., c, None]) for c in range(channels)]
    places = [coupled(means, coefficients, x[:c]) for c in range(channels)]
    located = jnp.stack(places, axis=-2)
    before = dists.discretized_logistic_log_prob(
        images[..., None], located, log_scales, likelihood.levels
    )
    known = jnp.where(earlier[None, None, None, :, None], before, 0.0)
    weights = jax.nn.log_softmax(logits) + known.sum(axis=-2)
    place = jnp.take(located, channel, axis=-2)
    scale = jnp.take(log_scales, channel, axis=-2)

    def log_mass(level: Array) -> Array:
        one = level.reshape(1, 1, 1, 1)
        each = dists.discretized_logistic_log_prob(one, place, scale, likelihood.levels)
        return jax.nn.logsumexp(weights + each, axis=-1)

    return jnp.moveaxis(jax.lax.map(log_mass, jnp.arange(likelihood.levels)), 0, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels:
    """p(x|z) of a batch of images, one channel after the other.

    Attributes:
      table: (images [B, H, W, C], channel) to the masses of that channel, [B, H*W, levels].
      shape: of the images, (B, H, W, C).
    """

    table: Callable[[UInt8[np.ndarray, "b h w c"], int], Float32[np.ndarray, "b p v"]]
    shape: tuple[int, ...]

    def push(self, stack: Stack, value: UInt8[np.ndarray, "b h w c"]) -> None:
        """Pushes images, the last channel first."""
        for channel in reversed(range(self.shape[-1])):
            known = np.where(np.arange(self.shape[-1]) < channel, value, 0).astype(np.uint8)
            levels = value[..., channel].ravel().astype(np.int64)
            self._channel(known, channel).push(stack, levels)

    def pop(self, stack: Stack) -> UInt8[np.ndarray, "b h w c"]:
        """Pops images."""
        value = np.zeros(self.shape, np.uint8)
        for channel in range(self.shape[-1]):
            levels = self._channel(value, channel).pop(stack)
            value[..., channel] = levels.reshape(self.shape[:-1])
        return value

    def _channel(self, known: UInt8[np.ndarray, "b h w c"], channel: int) -> Table:
        table = self.table(known, channel)
        return Table(masses=table.reshape(-1, table.shape[-1]))
