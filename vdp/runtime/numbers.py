"""Numbers as people read them: a mean, its standard error, and both in words."""

from collections.abc import Collection
from typing import SupportsFloat


def mean_and_error(values: Collection[SupportsFloat]) -> tuple[float, float | None]:
    """The mean and its standard error, s / sqrt(n) with ddof = 1; None from a single value."""
    import numpy as np  # here, for the sake of a quick --help

    found = np.asarray(values, np.float64)
    error = float(found.std(ddof=1) / len(found) ** 0.5) if len(found) > 1 else None
    return float(found.mean()), error


def with_error(mean: float, error: float | None, spec: str = ".2f") -> str:
    """The mean ± its standard error, "-83.90 ± 0.67"; alone where it has none, as of one image.

    Args:
      mean: what was estimated.
      error: of the mean, in its units.
      spec: how Python formats both; a sign that is asked for is the mean's.
    """
    text = f"{mean:{spec}}"
    return text if error is None else f"{text} ± {error:{spec.lstrip('+')}}"
