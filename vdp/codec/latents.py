"""A latent's grid, and the distribution over it that is coded: what every prior gives."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vdp.codec.bits_back import Coder
from vdp.codec.gaussians import Gaussians


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latent:
    """Latents k * width, k whole numbers, and a prior over the k.

    Attributes:
      width: of the grid.
      shape: of one latent.
      prior: from a number of images to p over their k, [N, *shape].
    """

    width: float
    shape: tuple[int, ...]
    prior: Callable[[int], Coder]

    def values(self, k: Int64[np.ndarray, "b *s"]) -> Float32[np.ndarray, "b *s"]:
        """The latents that whole numbers stand for."""
        return on_grid(k, self.width)

    def posterior(self, mean: Any, log_var: Any) -> Gaussians:
        """q over the k, of moments [B, *shape]."""
        return gaussians(mean, np.exp(0.5 * wide(log_var)), self.width, borrowed=True)


def on_grid(k: Int64[np.ndarray, "b *s"], width: float) -> Float32[np.ndarray, "b *s"]:
    """k times the width, as networks see it."""
    return (k * width).astype(np.float32)


def wide(array: Any) -> Float64[np.ndarray, "*s"]:
    """As float64, in which encoder and decoder compute with moments by the same steps."""
    return np.asarray(array, np.float64)


def gaussians(mean: Any, std: Any, width: float, *, borrowed: bool = False) -> Gaussians:
    """Gaussians of moments in the units of the latent, on a grid.

    Args:
      mean: any shape.
      std: broadcasts against it.
      width: of the grid.
      borrowed: whether this is a posterior.
    """
    mean = wide(mean) / width
    return Gaussians(
        mean=mean, std=np.broadcast_to(wide(std) / width, mean.shape), borrowed=borrowed
    )
