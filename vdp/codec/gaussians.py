"""Gaussians over whole numbers, pushed and popped as arrays: how latents lie on a stack of bits.

A latent is k times a width, k a whole number; its mass is that of the Gaussian over the bin around
k. A support much wider than its distribution costs bits: every k in it has a mass of at least
2^-24, and a far k that is popped by chance costs many bits under the other distributions. So the
support is centred at each mean, and has one size for all deviations with the same power of two.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64

from vdp.codec.stack import Stack, entropy_bits, module
from vdp.errors import UserError

BORROWED_REACH = 7  # deviations: what is popped from other bits stays there
REACH = 28  # beyond it a number takes 56 bits, as under a Gaussian at 8 deviations
FINEST = 1 << 17  # bins per deviation that a support of 2^24 has room for


def check_finite(*arrays: np.ndarray) -> None:
    """Refuses parameters of a distribution that are not finite; UserError."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(
            "the model gives numbers that are not finite: choose another checkpoint by "
            "config.codec.checkpoint"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Independent Gaussians over whole numbers.

    Attributes:
      mean: in bins, any shape.
      std: in bins, of the same shape.
      borrowed: whether this is a posterior: popped from whitened bits, within 7 deviations. Else
        every number can be pushed.
    """

    mean: Float64[np.ndarray, "*s"]
    std: Float64[np.ndarray, "*s"]
    borrowed: bool = False

    def __post_init__(self) -> None:
        check_finite(self.mean, self.std)
        if self.std.size and not 0 < self.std.min() <= self.std.max() < FINEST:
            raise UserError(
                "a deviation of this model is 0 or too wide for its grid: choose another "
                "checkpoint by config.codec.checkpoint, or fewer config.codec.bins"
            )

    def push(self, stack: Stack, value: Int64[np.ndarray, "*s"]) -> None:
        """Pushes one number for each Gaussian."""
        centre, flat = self._centre, value.ravel()
        for index, limit, family, parameters in reversed(list(self._groups(centre))):
            offset = flat[index] - centre[index]
            if not self.borrowed:
                stack.push_raw(offset[_beyond(offset, limit)])
                offset = np.clip(offset, -limit, limit)
            stack.push(offset, family, *parameters)
        if self.borrowed:
            stack.unwhiten(entropy_bits(self.std))

    def pop(self, stack: Stack) -> Int64[np.ndarray, "*s"]:
        """Pops one number for each Gaussian."""
        if self.borrowed:
            stack.whiten(entropy_bits(self.std))
        centre = self._centre
        value = centre.copy()
        for index, limit, family, parameters in self._groups(centre):
            offset = stack.pop(family, *parameters)
            if not self.borrowed:
                beyond = _beyond(offset, limit)
                offset[beyond] = stack.pop_raw(int(beyond.sum()))
            value[index] += offset
        return value.reshape(self.mean.shape)

    @property
    def _centre(self) -> Int64[np.ndarray, "n"]:
        return np.rint(self.mean.ravel()).astype(np.int64)

    def _groups(
        self, centre: Int64[np.ndarray, "n"]
    ) -> Iterator[tuple[Int64[np.ndarray, "m"], int, object, tuple[np.ndarray, np.ndarray]]]:
        """(indices, limit of the support, family, its parameters) by the power of two of std."""
        mean, std = self.mean.ravel() - centre, self.std.ravel()
        powers = np.maximum(np.frexp(std)[1], 0)
        reach = BORROWED_REACH if self.borrowed else REACH
        for power in np.unique(powers):
            index, limit = np.flatnonzero(powers == power), reach << int(power)
            family = module().stream.model.QuantizedGaussian(-limit, limit)
            yield index, limit, family, (mean[index], std[index])


def _beyond(offset: Int64[np.ndarray, "n"], limit: int) -> Bool[np.ndarray, "n"]:
    """Which offsets are at the ends of the support: these numbers are coded at full length."""
    return np.abs(offset) >= limit
