"""How straight and how even the images between two codes are."""

import numpy as np
from jaxtyping import Float, Float64

from vdp.metrics.likelihood import Estimate, mean_and_error

ROUNDING = 1e-6  # of a pixel in [0, 1]: images that differ by less are one


def between(
    start: Float[np.ndarray, "p *z"], end: Float[np.ndarray, "p *z"], num: int
) -> Float[np.ndarray, "p {num} *z"]:
    """`num` points on the straight line from start to end, [P, ...] to [P, num, ...]."""
    weights = np.linspace(0, 1, num, dtype=np.float32)
    weights = weights.reshape(1, num, *(1,) * (start.ndim - 1))
    return (1 - weights) * start[:, None] + weights * end[:, None]


def measures(images: Float[np.ndarray, "p points *x"]) -> dict[str, Float64[np.ndarray, "left"]]:
    """What becomes of the line in pixel space, for P pairs whose ends differ.

    Args:
      images: x_0..x_M decoded from equal steps between two codes, [P, M + 1, ...], M even.

    Returns:
      {name: [number of pairs whose ends differ]}:
      path_ratio: sum_i |x_{i+1} - x_i| / |x_M - x_0|, at least 1, and 1 where it stays straight.
      unevenness: the largest step over the mean step, at least 1.
      nonlinearity: |x_{M/2} - (x_0 + x_M)/2| / (|x_M - x_0|/2).
      Pairs whose ends are one image have no such numbers and are left out.
    """
    x = images.reshape(*images.shape[:2], -1).astype(np.float64)
    chords = np.linalg.norm(x[:, -1] - x[:, 0], axis=-1)
    apart = chords > ROUNDING * np.sqrt(x.shape[-1])
    x, chords = x[apart], chords[apart]
    steps = np.linalg.norm(np.diff(x, axis=1), axis=-1)
    off_middle = np.linalg.norm(x[:, x.shape[1] // 2] - (x[:, 0] + x[:, -1]) / 2, axis=-1)
    return {
        "path_ratio": steps.sum(1) / chords,
        "unevenness": steps.max(1) / steps.mean(1),
        "nonlinearity": 2 * off_middle / chords,
    }


def summary(each: dict[str, Float64[np.ndarray, "left"]]) -> dict[str, Estimate | None]:
    """{name: {"mean", "se"}} over pairs; None where there is no pair."""
    return {name: mean_and_error(v) if len(v) else None for name, v in each.items()}
