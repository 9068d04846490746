"""Gaussians over whole numbers, pushed and popped as arrays: how latents lie on a stack of bits.

A latent is k times a width, k a whole number; its mass is that of the Gaussian over the bin around
k. A support much wider than its distribution costs bits: every k in it has a mass of at least
2^-24, and a far k that is popped by chance costs many bits under the other distributions. So the
support is centred at each mean, and has one size for all deviations with the same power of two.
Least masses cost bits also where a deviation has very many bins (0.3 a number at 60,000). There the
Gaussian is over cells of neighbouring bins, about 2^RESOLVED for each deviation, and the place of a
bin in its cell is uniform.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from vdp.codec.stack import Stack, entropy_bits, module
from vdp.errors import UserError

BORROWED_REACH = 7  # deviations: what is popped from other bits stays there
REACH = 28  # beyond it a number takes 56 bits, as under a Gaussian at 8 deviations
RESOLVED = 8  # log2 of cells per deviation: that they are uniform costs w^2/24 nats, 6e-7
FINEST = 1 << 22  # bins per deviation: single precision has no more


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
        for group in reversed(list(self._groups(centre))):
            cell, within = np.divmod(flat[group.index] - centre[group.index], group.width)
            if not self.borrowed:
                stack.push_raw(cell[group.is_beyond(cell)])
                cell = np.clip(cell, -group.limit, group.limit)
            stack.push(cell, group.family, group.mean, group.std)
            group.push_within(stack, within)
        if self.borrowed:
            stack.unwhiten(entropy_bits(self.std))

    def pop(self, stack: Stack) -> Int64[np.ndarray, "*s"]:
        """Pops one number for each Gaussian."""
        if self.borrowed:
            stack.whiten(entropy_bits(self.std))
        centre = self._centre
        value = centre.copy()
        for group in self._groups(centre):
            within = group.pop_within(stack)
            cell = stack.pop(group.family, group.mean, group.std)
            if not self.borrowed:
                beyond = group.is_beyond(cell)
                cell[beyond] = stack.pop_raw(int(beyond.sum()))
            value[group.index] += cell * group.width + within
        return value.reshape(self.mean.shape)

    @property
    def _centre(self) -> Int64[np.ndarray, "n"]:
        return np.rint(self.mean.ravel()).astype(np.int64)

    def _groups(self, centre: Int64[np.ndarray, "n"]) -> Iterator["_Group"]:
        """The numbers by the power of two of their deviation."""
        mean, std = self.mean.ravel() - centre, self.std.ravel()
        powers = np.maximum(np.frexp(std)[1], 0)
        reach = BORROWED_REACH if self.borrowed else REACH
        for power in map(int, np.unique(powers)):
            index, width = np.flatnonzero(powers == power), 1 << max(power - RESOLVED, 0)
            yield _Group(
                index=index,
                width=width,
                limit=reach << min(power, RESOLVED),
                mean=(mean[index] - 0.5 * (width - 1)) / width,  # of the middles of cells
                std=std[index] / width,
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Group:
    """Gaussians of nearly one deviation, over cells of bins.

    Attributes:
      index: their places.
      width: bins of a cell.
      limit: of the support, in cells.
      mean: in cells.
      std: in cells.
    """

    index: Int64[np.ndarray, "m"]
    width: int
    limit: int
    mean: Float64[np.ndarray, "m"]
    std: Float64[np.ndarray, "m"]

    @property
    def family(self) -> Any:
        """The family of the cells' distributions."""
        return module().stream.model.QuantizedGaussian(-self.limit, self.limit)

    def is_beyond(self, cell: Int64[np.ndarray, "m"]) -> Bool[np.ndarray, "m"]:
        """Which cells are at the ends of the support: they are coded at full length."""
        return np.abs(cell) >= self.limit

    def push_within(self, stack: Stack, within: Int64[np.ndarray, "m"]) -> None:
        """Pushes the places of bins in their cells, which are uniform."""
        if self.width > 1:
            stack.push_uniform(within, self.width)

    def pop_within(self, stack: Stack) -> Int64[np.ndarray, "m"]:
        """Pops them."""
        count = len(self.index)
        return stack.pop_uniform(count, self.width) if self.width > 1 else np.zeros(count, np.int64)
