"""FID of infinitely many samples (Chong & Forsyth 2020).

The FID of N samples lies above that of their distribution by a bias that falls as 1/N, and that
differs between models: a line through the FIDs of several N, over 1/N, meets 1/N = 0 without it.
Only the samples are extrapolated; the reference keeps its own number of images.
"""

from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float

from vdp.metrics import fid
from vdp.metrics.likelihood import Estimate

PARTS = (4, 3, 2, 1)  # how many subsets the samples are dealt into: even steps of 1/N
GROUPS = 10  # of samples, left out in turn for the error
ROUND = 12  # a multiple of all PARTS: without so many, the others stay in their subsets


class Row(TypedDict):
    """FID of `num` samples, the mean of disjoint subsets; `sd` over these, None of a single one."""

    num: int
    mean: float
    sd: float | None
    subsets: int


def rows(features: Float[np.ndarray, "n d"], reference: fid.Statistics) -> list[Row]:
    """FID at N/4, N/3, N/2 and N samples, each over disjoint subsets: dealt out one by one.

    Args:
      features: of samples [N, D] that are independent draws, N >= 8.
      reference: what they are compared with.
    """
    found: list[Row] = []
    for parts in PARTS:
        size = len(features) // parts
        subsets = [features[part::parts][:size] for part in range(parts)]
        values = [fid.frechet_distance(fid.statistics(subset), reference) for subset in subsets]
        sd = float(np.std(values, ddof=1)) if parts > 1 else None
        found.append({"num": size, "mean": float(np.mean(values)), "sd": sd, "subsets": parts})
    return found


def intercept(table: list[Row]) -> float:
    """Where the least-squares line of the means over 1/N is at 1/N = 0."""
    slope_and_start = np.polyfit([1 / row["num"] for row in table], [r["mean"] for r in table], 1)
    return float(slope_and_start[1])


def extrapolated(features: Float[np.ndarray, "n d"], reference: fid.Statistics) -> dict[str, Any]:
    """FID over the number of samples, and extrapolated to infinitely many.

    The error is a jackknife's: the line is drawn ten times with d others of the samples left out,
    about a tenth. The mean of N numbers without d of them differs from the mean of all by
    d/(N - d) times what the mean of the d does, so that the variance of v_g over these ten stands
    for (d/(N - d))^2 / d of one sample's, and the error is that times (N - d)^2 / (d N). It is of
    the samples alone, with this reference.

    Args:
      features: of samples [N, D], independent draws in any order.
      reference: what they are compared with.

    Returns:
      {"rows": [{"num", "mean", "sd", "subsets"}, ...], "extrapolated": {"mean", "se"}, "bias": of
      all N samples, likewise}. The last two are None below 120 samples, and where the least N of
      the jackknife is not above D: covariances are singular then, and the bias no line. There are
      no rows of fewer than 8 samples.
    """
    num, dims = features.shape
    if num < 2 * PARTS[0]:
        return {"rows": [], "extrapolated": None, "bias": None}
    table = rows(features, reference)
    size = num // (GROUPS * ROUND) * ROUND  # of what is left out
    if not size or (num - size) // PARTS[0] <= dims:
        return {"rows": table, "extrapolated": None, "bias": None}
    starts = range(0, GROUPS * size, size)
    rest = (np.delete(features, slice(start, start + size), axis=0) for start in starts)
    tables = [rows(features_left, reference) for features_left in rest]
    bias = lambda table: table[-1]["mean"] - intercept(table)
    jackknife = lambda of: Estimate(
        mean=of(table), se=_error([of(left) for left in tables], num, size)
    )
    return {"rows": table, "extrapolated": jackknife(intercept), "bias": jackknife(bias)}


def _error(without: list[float], num: int, size: int) -> float:
    """The standard error of a value of `num` samples, from those without `size` of them each."""
    return float(np.sqrt((num - size) ** 2 / (size * num) * np.var(without, ddof=1)))
