"""How well one number tells two kinds of images apart: the area under the ROC curve."""

from typing import TypedDict

import numpy as np
from jaxtyping import Float


class Area(TypedDict):
    """The area, and its standard error, which is None where one of the sets has a single value."""

    auroc: float
    se: float | None


def area(higher: Float[np.ndarray, "m"], lower: Float[np.ndarray, "n"]) -> Area:
    """The probability that a value of the first set exceeds one of the second; ties count a half.

    With V_i the share of `lower` below the i-th of `higher`, and W_j the share of `higher` above
    the j-th of `lower`, the area is mean V and its variance var(V)/M + var(W)/N (DeLong et al.
    1988). All V and W are had from ranks (Sun & Xu 2014). At an area of 0 or 1 the error is 0: it
    does not say how far from that a larger set may be.

    Args:
      higher: scores [M] of those that should have the higher ones, finite.
      lower: scores [N] of the others.
    """
    from scipy.stats import rankdata  # takes a second to import, in every command

    m, n = len(higher), len(lower)
    ranks = rankdata(np.concatenate([higher, lower]))
    v = (ranks[:m] - rankdata(higher)) / n
    w = 1 - (ranks[m:] - rankdata(lower)) / m
    se = None
    if min(m, n) > 1:
        se = float(np.sqrt(v.var(ddof=1) / m + w.var(ddof=1) / n))
    return {"auroc": float(v.mean()), "se": se}
