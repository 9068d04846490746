"""A comparison as a picture: what each arm got, and by how much it falls short of the best one."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from vdp.comparison.entries import Entry
from vdp.comparison.side_by_side import Comparison, Difference
from vdp.comparison.statistics import Estimate
from vdp.pictures import style


def save(comparison: Comparison, path: pathlib.Path, formats: Sequence[str] = ("png",)) -> None:
    """Writes one row of two panels for each estimator that two arms have.

    On the left every arm with two standard errors; on the right its difference from the arm with
    the best mean of those that are bounds, and not noisy, with the error of the difference: it is
    what tells them apart, where both see the same images, and not whether the bars on the left
    overlap.

    Args:
      comparison: of two arms or more.
      path: of the picture.
      formats: of the files.
    """
    shown = {n: e for n, e in comparison.estimates.items() if len(e) > 1}
    num = len(comparison.arms)
    longest = max(len(arm.label) for arm in comparison.arms)
    height = len(shown) * (0.9 + 0.36 * num) + 0.3
    figure = style.figure(7.5 + 0.075 * longest, height, dpi=160)
    grid = figure.subplots(len(shown), 2, squeeze=False)
    for (left, right), (name, entries) in zip(grid, shown.items(), strict=True):
        labels = list(entries)
        names = [style.plain(label) for label in labels]
        sign = 1 if entries[labels[0]].better == "higher" else -1
        bounds = [label for label in labels if not entries[label].not_a_bound] or labels
        bounds = [label for label in bounds if not entries[label].noisy] or bounds
        best = max(bounds, key=lambda label: sign * entries[label].estimate.mean)
        names = [n + _against(entries[label]) for n, label in zip(names, labels, strict=True)]
        for place, label in enumerate(labels):
            _bar(left, place, entries[label].estimate, style.BLUE)
            if label != best and (found := _from_best(comparison, name, label, best)):
                told = found.better is not None
                _bar(right, place, _turned(found, label), style.ORANGE if told else style.DARK)
        right.axvline(0, color="0.6", lw=1)
        unit = entries[labels[0]].unit
        left.set(xlabel=f"{name}, {unit}", yticks=range(len(labels)), yticklabels=names)
        right.set(
            xlabel=f"minus {style.plain(best)}, {unit}", yticks=range(len(labels)), yticklabels=[]
        )
        for axes in (left, right):
            axes.set_ylim(len(labels) - 0.5, -0.5)
            style.dress(axes, grid="x")
    figure.supxlabel(
        f"{comparison.num_images:,} images of the {comparison.split} split; bars are two errors, "
        "wider where seeds are few; orange: beyond them",
        fontsize=8.5,
        color="0.35",
    )
    style.save(figure, path, formats)


def _against(entry: Entry) -> str:
    """What is against a number, to set behind the name of its arm."""
    said = ["not a bound"] * bool(entry.not_a_bound) + ["noisy"] * entry.noisy
    return f" ({', '.join(said)})" if said else ""


def _bar(axes: Any, place: int, estimate: Estimate, color: str) -> None:
    axes.plot(estimate.mean, place, "o", ms=5, color=color)
    if estimate.threshold is not None:
        ends = estimate.mean - estimate.threshold, estimate.mean + estimate.threshold
        axes.plot(ends, (place, place), lw=1.8, color=color)


def _from_best(comparison: Comparison, name: str, label: str, best: str) -> Difference | None:
    pair = {label, best}
    found = (d for d in comparison.differences if d.estimator == name and {d.a, d.b} == pair)
    return next(found, None)


def _turned(difference: Difference, label: str) -> Estimate:
    """The difference as that of `label` from the other."""
    estimate, sign = difference.estimate, 1 if difference.a == label else -1
    return dataclasses.replace(estimate, mean=sign * estimate.mean)
