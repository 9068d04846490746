"""What one arm got by one estimator, read from the evaluations of its seeds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from vdp.comparison import statistics
from vdp.comparison.runs import Arm
from vdp.comparison.statistics import Estimate
from vdp.evaluation import noisy, report
from vdp.metrics import divergence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What one arm got by one estimator.

    Attributes:
      estimate: in `unit`, over images and seeds.
      bits: its bits per dimension, with the error of the whole; None of what has none.
      model: what the estimate is of: "exact", "T=inf", ..., "" of a score.
      k: how many importance weights; None where it uses none.
      ascent: how its posteriors were found, where each image has its own; else "".
      unit: of the estimate.
      better: "higher" or "lower".
      noisy: whether the weights of a seed were too few, so that its IWAE is loose by an unknown
        amount.
      not_a_bound: why, where that is known of the estimator or of a seed; "" of all others.
      each: [S, N] of every seed and image; None where a run has not kept them.
    """

    estimate: Estimate
    bits: Estimate | None
    model: str
    k: int | None
    ascent: str
    unit: str
    better: str
    noisy: bool
    not_a_bound: str
    each: np.ndarray | None


def of_arm(arm: Arm, name: str, num: int, notes: list[str]) -> Entry | None:
    """What an arm got by an estimator; None where not all of its seeds have it alike.

    Args:
      arm: of one or more seeds.
      name: of the estimator, or "score".
      num: how many images, from the first on.
      notes: takes a sentence where something is left out or not known.
    """
    stored = [run.estimates.get(name) for run in arm.runs]
    entries = [entry for entry in stored if entry]
    if len(entries) < len(stored):
        if entries:
            notes.append(f"{name} is left out for {arm.label}: {len(entries)} of {len(stored)} "
                         "seeds have it")  # fmt: skip
        return None
    kinds = {(entry.get("model", ""), entry.get("k"), report.ascent(entry)) for entry in entries}
    if len(kinds) > 1:
        notes.append(f"{name} is left out for {arm.label}: its seeds were evaluated differently")
        return None
    kept = [run.each(name) for run in arm.runs]
    there = [array[:num] for array in kept if array is not None]
    each = np.stack(there) if len(there) == len(kept) else None
    if each is None:
        without = [str(r.path.parent) for r, k in zip(arm.runs, kept, strict=True) if k is None]
        notes.append(
            f"{', '.join(without)}: what every image got by {name} is not kept, so its differences "
            "are not paired; evaluate again by --mode=eval"
        )
    in_nats = [entry.get("nats", entry) for entry in entries]
    estimate = (
        statistics.of_summaries([e["mean"] for e in in_nats], [e["se"] for e in in_nats])
        if each is None
        else statistics.mean(each)
    )
    model, k, ascent = kinds.pop()
    return Entry(
        estimate=estimate,
        bits=_bits(entries[0], estimate),
        model=model,
        k=k,
        ascent=ascent,
        unit="nats" if "nats" in entries[0] else entries[0]["unit"],
        better=entries[0].get("better", "higher" if "nats" in entries[0] else "lower"),
        noisy=any(noisy.is_noisy(entry) for entry in entries),
        not_a_bound=next((why for e in entries if (why := divergence.why_no_bound(name, e))), ""),
        each=each,
    )


def _bits(entry: Mapping[str, Any], estimate: Estimate) -> Estimate | None:
    """An estimate in nats as bits per dimension, by the factor between the two in one entry."""
    if not entry.get("bits_per_dim") or not entry["nats"]["mean"]:
        return None
    factor = entry["bits_per_dim"]["mean"] / entry["nats"]["mean"]
    error = None if estimate.se is None else estimate.se * abs(factor)
    return Estimate(mean=estimate.mean * factor, over_images=error)
