"""Whether the weights behind an IWAE bound were too unequal for it to be near log p(x).

Of K weights with the effective sample size ESS = (sum w)^2 / sum w^2, the relative variance of
their mean is about 1/ESS - 1/K. By the delta method that is the variance of one image's bound, and
half of it is the gap between the bound and log p(x), in nats (Nowozin 2018; Domke & Sheldon 2018).
Above VARIANCE, which for large K is an ESS below 5, the expansion fails and the gap may have any
size.
The largest share that one weight has of their sum, by which Chatterjee & Diaconis (2018) judge
importance sampling, is then above 1/5, for it is never below 1/ESS.

The bound itself stays one: its expectation is at most log p(x) whatever the weights. And an ESS
sees only the weights that were drawn: a large one proves nothing, for a region that no draw has
reached does not lower it.
"""

from collections.abc import Mapping
from typing import Any

VARIANCE = 0.2  # of one image's bound, nats^2: above it its weights are too few to tell
WEIGHTS = ("exact", "path", "ode")  # of bounds in results that lack "noisy": those of 0.1
SHARE = 0.1  # of the images: where more have too few weights, so has their mean


def too_few(ess: Any, num: int) -> Any:
    """Whether weights were too few by their effective sample size: of a number, or of an array.

    Args:
      ess: effective sample sizes.
      num: K; one weight says nothing about its spread, and is too few.
    """
    return (1 / ess - 1 / num > VARIANCE) | (num < 2)


def is_noisy(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry of eval.json's "estimators" is such an IWAE.

    Results of 0.1 hold the mean of the effective sample sizes alone, which is judged in its place.
    """
    if not entry or "noisy" in entry:
        return bool(entry and entry["noisy"])
    return entry.get("weight") in WEIGHTS and bool(too_few(entry["ess"], entry["k"]))


def in_words(entry: Mapping[str, Any]) -> str:
    """What is said after the word "noisy" where an estimate is shown; "" where it is not noisy.

    Args:
      entry: of eval.json's "estimators".
    """
    if not is_noisy(entry):
        return ""
    low = entry.get("ess_low")
    of = "" if low is None else f" for {100 * low:.0f} % of the images"
    has_ode = entry["model"].startswith("T=") and not entry["model"].endswith(", trajectory")
    path = " or use iwae_ode" if has_ode else ""
    return (
        f"too few of the weights count{of}, so that this lower bound is loose by an unknown "
        f"amount; raise eval.iwae_samples{path}"
    )
