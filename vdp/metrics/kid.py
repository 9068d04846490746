"""Kernel distance of features (KID: Binkowski et al. 2018), with the same mean for any number.

Where FID of few images lies above that of many, the mean of this one is the same: it can be
compared between different numbers of images, and is 0 for two draws of one distribution.
"""

from typing import TypedDict

import numpy as np
from jaxtyping import Float

from vdp.metrics.likelihood import mean_and_error

LARGEST = 1000  # images of a subset at the most; memory is three kernels of that size
WANTED = 10  # subsets, which give the error


class KernelDistance(TypedDict):
    """Mean over subsets of the squared discrepancy, its standard error, and what was averaged."""

    mean: float
    se: float | None  # None of one subset
    subset: int  # images of each, of either set
    subsets: int


def squared_discrepancy(a: Float[np.ndarray, "m d"], b: Float[np.ndarray, "n d"]) -> float:
    """The unbiased squared MMD with the kernel k(x, y) = (x.y/d + 1)^3, which may be negative.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j).

    Args:
      a: features [M, D], M >= 2.
      b: features [N, D], N >= 2.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    kernel = lambda x, y: (x @ y.T / a.shape[1] + 1) ** 3

    def within(x: np.ndarray) -> float:
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def kernel_distance(
    a: Float[np.ndarray, "m d"], b: Float[np.ndarray, "n d"], *, seed: int = 0
) -> KernelDistance | None:
    """The mean of `squared_discrepancy` over disjoint subsets of as many images of each set.

    Disjoint subsets are independent, so that their spread gives the error of the mean. There are
    about ten, more where ten would have over 1,000 images each, fewer where ten would have below 2.

    Args:
      a: features [M, D], of samples.
      b: features [N, D], of the reference.
      seed: of the subsets.

    Returns:
      None where one of the sets has less than two images.
    """
    num = min(len(a), len(b))
    if num < 2:
        return None
    rng = np.random.default_rng(seed)
    a, b = a[rng.permutation(len(a))], b[rng.permutation(len(b))]
    size = max(min(LARGEST, num // WANTED), 2)
    parts = [slice(start, start + size) for start in range(0, num - size + 1, size)]
    found = mean_and_error([squared_discrepancy(a[part], b[part]) for part in parts])
    return {"mean": found["mean"], "se": found["se"], "subset": size, "subsets": len(parts)}
