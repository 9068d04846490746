"""Distributions given by a table of masses: pixels, and components of a mixture."""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int64

from vdp.codec.gaussians import check_finite
from vdp.codec.stack import Stack, module


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Independent numbers 0..K - 1 of given masses.

    Attributes:
      masses: [N, K], each row summing to about 1; every number has at least 2^-24.
      borrowed: whether this is a posterior, popped from whitened bits.
    """

    masses: Float32[np.ndarray, "n k"]
    borrowed: bool = False

    def __post_init__(self) -> None:
        check_finite(self.masses)

    def push(self, stack: Stack, value: Int64[np.ndarray, "n"]) -> None:
        """Pushes one number for each row."""
        if self._certain:
            return
        stack.push(value, self._family, self.masses)
        if self.borrowed:
            stack.unwhiten(self._bits)

    def pop(self, stack: Stack) -> Int64[np.ndarray, "n"]:
        """Pops one number for each row."""
        if self._certain:
            return np.zeros(len(self.masses), np.int64)
        if self.borrowed:
            stack.whiten(self._bits)
        return stack.pop(self._family, self.masses)

    @property
    def _certain(self) -> bool:
        """Whether there is one number only, which takes no bits and which the coder refuses."""
        return self.masses.shape[1] == 1

    @property
    def _family(self) -> object:
        return module().stream.model.Categorical(perfect=False)

    @property
    def _bits(self) -> float:
        """An upper bound on the bits of the draws: those of uniform rows."""
        return float(len(self.masses) * np.log2(self.masses.shape[1]))
