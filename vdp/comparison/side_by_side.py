"""Several models side by side: what each got, and whether they differ by more than chance."""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from vdp.comparison import entries, measures, of_all, regime, statistics
from vdp.comparison.entries import Entry
from vdp.comparison.runs import NOT_THE_MODEL, Arm, arms
from vdp.comparison.statistics import Estimate
from vdp.errors import UserError
from vdp.settings.compare import differences as changed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One arm minus another by one estimator.

    Attributes:
      estimator: its name.
      a: label of the one.
      b: label of the other.
      estimate: of a minus b.
      paired: whether it is by image.
      better: label of the arm that is better by more than two errors; None where chance may do it,
        or where one of them is not a bound, or noisy: how much of the difference is looseness is
        not known then.
      bounds: False where an evaluation found that one of the two is not a bound.
      noisy: whether one of the two is.
    """

    estimator: str
    a: str
    b: str
    estimate: Estimate
    paired: bool
    better: str | None
    bounds: bool
    noisy: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms side by side.

    Attributes:
      arms: what is compared, in the order given.
      split: whose images.
      num_images: that all runs have in common.
      differs: {field: {label: value}} of the settings in which arms differ.
      estimates: {estimator: {label: entry}}, of every estimator that an arm has in all its seeds.
      measures: {name: {label: estimate}}, beside them: FID, seconds, parameters.
      differences: of every pair, by every estimator of the same kind.
      notes: what a reader has to know, a sentence each.
    """

    arms: tuple[Arm, ...]
    split: str
    num_images: int
    differs: Mapping[str, Mapping[str, Any]]
    estimates: Mapping[str, Mapping[str, Entry]]
    measures: Mapping[str, Mapping[str, Estimate]]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[str | os.PathLike]) -> Comparison:
    """Lays finished runs side by side, with paired differences and their errors.

    Runs that differ by their seed alone are one arm, whose spread over seeds is part of every
    error (`vdp.comparison.statistics`). Nothing is computed again: what every image got is read
    from eval.npz, which every evaluation writes.

    Args:
      runs: each a run's folder, the file of one of its evaluations, a folder of runs, or several
        of these joined by "+", which are then one arm.

    Raises:
      UserError: less than two arms; nothing that all can be compared by; other images, another
        binarisation, augmentation, split, or masses against densities.
    """
    compared = arms(runs)
    if len(compared) < 2:
        there = (
            f"these are seeds of one model ({compared[0].label})" if compared else "there is none"
        )
        raise UserError(f"a comparison needs runs of two models or more: {there}")
    num = regime.check(compared)
    notes: list[str] = []
    names = dict.fromkeys(n for arm in compared for run in arm.runs for n in run.estimates)
    estimates = {
        name: {arm.label: e for arm in compared if (e := entries.of_arm(arm, name, num, notes))}
        for name in names
    }
    estimates = {name: by_arm for name, by_arm in estimates.items() if by_arm}
    if not any(len(by_arm) > 1 for by_arm in estimates.values()):
        has = "; ".join(f"{arm.label} has {', '.join(arm.runs[0].estimates)}" for arm in compared)
        raise UserError(f"these runs have no estimator in common: {has}; evaluate them by the same")
    differences = tuple(
        found
        for name, by_arm in estimates.items()
        for a, b in itertools.combinations(by_arm, 2)
        if (found := _difference(name, (a, by_arm[a]), (b, by_arm[b]), notes))
    )
    num_differences = len(differences)
    return Comparison(
        arms=tuple(compared),
        split=compared[0].runs[0].result["split"],
        num_images=num,
        differs=_differs(compared),
        estimates=estimates,
        measures=measures.of(compared),
        differences=differences,
        notes=tuple(dict.fromkeys([*notes, *of_all.notes(compared, estimates, num_differences)])),
    )


def _difference(
    name: str, a: tuple[str, Entry], b: tuple[str, Entry], notes: list[str]
) -> Difference | None:
    """The difference of two arms; None where the estimator is not of the same kind for both."""
    (label_a, of_a), (label_b, of_b) = a, b
    if of_a.k != of_b.k:
        notes.append(
            f"{name} of {label_a} has K={of_a.k} and of {label_b} K={of_b.k}: one is tighter than "
            "the other, so their difference is not shown; evaluate both with the same "
            "eval.iwae_samples"
        )
        return None
    if of_a.ascent != of_b.ascent:
        notes.append(
            f"{name} of {label_a} has {of_a.ascent} and of {label_b} {of_b.ascent}: their "
            "difference is not shown; evaluate both with the same eval.refine_steps and "
            "eval.refine_rate"
        )
        return None
    if of_a.unit != of_b.unit:
        return None
    if of_a.each is not None and of_b.each is not None:
        estimate, paired = statistics.difference(of_a.each, of_b.each), True
    else:
        estimate, paired = statistics.unpaired(of_a.estimate, of_b.estimate), False
    bounds, noisy = not (of_a.not_a_bound or of_b.not_a_bound), of_a.noisy or of_b.noisy
    ahead = label_a if (estimate.mean > 0) == (of_a.better == "higher") else label_b
    return Difference(
        estimator=name,
        a=label_a,
        b=label_b,
        estimate=estimate,
        paired=paired,
        better=ahead if estimate.beyond and bounds and not noisy else None,
        bounds=bounds,
        noisy=noisy,
    )


def _differs(compared: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """The settings in which arms differ, by the first seed of each."""
    flat = {arm.label: arm.runs[0].settings for arm in compared}
    first = next(iter(flat.values()))
    different = [changed(first, other, free=NOT_THE_MODEL) for other in flat.values()]
    return {
        field: {label: settings.get(field) for label, settings in flat.items()}
        for field in sorted(set().union(*different))
    }
