"""Whether samples look like images, and whether all images are among them, by nearest neighbours.

Each set of features stands for a region: the union of balls around its points, each as large as the
distance to the point's k-th nearest neighbour in the set. All four numbers depend on how many
points there are.
"""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Float64

K_PRECISION, K_DENSITY = 3, 5  # neighbours, as published
LARGEST = 10_000  # points of a set, at most
MEBIBYTES = 64  # of distances that are held at once


class Manifold(TypedDict):
    """Shares in [0, 1], but for the density, which may exceed 1, and what they are of."""

    precision: float
    recall: float
    density: float
    coverage: float
    k_precision_recall: int
    k_density_coverage: int
    num: int  # images of either set


def _distances(
    a: Float[np.ndarray, "m d"], b: Float[np.ndarray, "n d"] | None = None
) -> Iterator[tuple[slice, Float64[np.ndarray, "rows n"]]]:
    """Euclidean distances of rows of a from all of b, or of a itself, block by block."""
    from sklearn.metrics import pairwise_distances_chunked

    start = 0
    for block in pairwise_distances_chunked(a, b, working_memory=MEBIBYTES):
        yield slice(start, start + len(block)), block
        start += len(block)


def _radii(x: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "2 n"]:
    """Distances to the K_PRECISION-th and the K_DENSITY-th nearest other point, for every point."""
    kth = [K_PRECISION, K_DENSITY]  # the 0th is the point itself
    blocks = [np.partition(block, kth, axis=1)[:, kth] for _, block in _distances(x)]
    return np.concatenate(blocks).T


def manifold(
    real: Float[np.ndarray, "m d"], fake: Float[np.ndarray, "n d"], *, seed: int = 0
) -> Manifold | None:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    With balls B_k(x) that contain their border:
      precision: the share of samples that lie in B_3 of some image;
      recall: the share of images that lie in B_3 of some sample;
      density: the mean number of B_5 of images that a sample lies in, over 5: about 1 where both
        sets are draws of one distribution;
      coverage: the share of images whose B_5 holds some sample.

    Args:
      real: features of images [M, D].
      fake: features of samples [N, D].
      seed: of which are left out of the larger set: both have min(M, N, 10,000) here.

    Returns:
      None where a set has five points or fewer, which have no fifth neighbour.
    """
    num = min(len(real), len(fake), LARGEST)
    if num <= K_DENSITY:
        return None
    rng = np.random.default_rng(seed)
    some = lambda x: np.asarray(x, np.float64)[rng.permutation(len(x))[:num]]
    real, fake = some(real), some(fake)
    of_real, of_fake = _radii(real), _radii(fake)
    precise, recalled, covered, inside = np.zeros(num, bool), [], [], 0
    for rows, block in _distances(real, fake):
        narrow, wide = (radii[rows, None] for radii in of_real)
        precise |= (block <= narrow).any(0)
        recalled.append((block <= of_fake[0]).any(1))
        within = block <= wide
        covered.append(within.any(1))
        inside += int(within.sum())
    return {
        "precision": float(precise.mean()),
        "recall": float(np.concatenate(recalled).mean()),
        "density": inside / (K_DENSITY * num),
        "coverage": float(np.concatenate(covered).mean()),
        "k_precision_recall": K_PRECISION,
        "k_density_coverage": K_DENSITY,
        "num": num,
    }
