"""A comparison as tables: what each arm got, how they differ, what was set differently."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from vdp.comparison.entries import Entry
from vdp.comparison.side_by_side import Comparison, Difference
from vdp.comparison.statistics import Estimate
from vdp.runtime.numbers import with_error

NONE = "–"  # noqa: RUF001
MOST_COLUMNS = 6  # arms that are laid side by side, and not one below the other
Table = tuple[list[str], list[list[str]]]  # header, rows


def arms(comparison: Comparison) -> Table:
    """Seeds, estimates with their errors and measures of each arm; few arms are the columns."""
    seeds = any(len(arm.runs) > 1 for arm in comparison.arms)
    columns: list[tuple[str, Callable[[str], str]]] = []
    for name, entries in comparison.estimates.items():
        columns.append((_title(name, entries.values()), _cell(entries, _estimate)))
        if any(entry.bits for entry in entries.values()):
            columns.append((f"{name}, bits/dim", _cell(entries, _bits)))
        if any(entry.estimate.over_seeds is not None for entry in entries.values()):
            columns.append((f"{name}, error by images / by seeds", _cell(entries, _parts)))
    for name, estimates in comparison.measures.items():
        columns.append((name, _cell(estimates, _measure)))
    header = ["model", *["seeds"] * seeds, *(title for title, _ in columns)]
    rows = [
        [arm.label, *[str(len(arm.runs))] * seeds, *(cell(arm.label) for _, cell in columns)]
        for arm in comparison.arms
    ]
    if len(rows) > MOST_COLUMNS:
        return header, rows
    first, *others = zip(header, *rows, strict=True)
    return list(first), [list(row) for row in others]


def differences(comparison: Comparison) -> Table:
    """One row for each pair and estimator: the difference, its error, and which one is better."""
    header = ["estimator", "of", "difference", "two errors", "by image", "better"]
    rows = [
        [
            d.estimator,
            f"{d.a} - {d.b}",
            _with_error(d.estimate),
            NONE
            if d.estimate.threshold is None
            else format(d.estimate.threshold, _digits(d.estimate.se)),
            "yes" if d.paired else "no",
            verdict(d),
        ]
        for d in comparison.differences
    ]
    return header, rows


def verdict(difference: Difference) -> str:
    """Which arm is better, in words."""
    if not difference.bounds:
        return "one is not a bound"
    if difference.estimate.se is None:
        return "no error is known"
    return "one is noisy" if difference.noisy else difference.better or "not told apart"


def settings(comparison: Comparison) -> Table:
    """One row for each field that was set differently, one column for each arm."""
    labels = [arm.label for arm in comparison.arms]
    rows = [
        [field, *(NONE if by[label] is None else str(by[label]) for label in labels)]
        for field, by in comparison.differs.items()
    ]
    return ["field", *labels], rows


def _cell(values: Any, text: Callable[[Any], str]) -> Callable[[str], str]:
    return lambda label: text(values[label]) if label in values else NONE


def _title(name: str, entries: Iterable[Entry]) -> str:
    kinds = list(dict.fromkeys((entry.k, entry.ascent, entry.unit) for entry in entries))
    of = {f"K={k}" for k, _, _ in kinds if k} | {ascent for _, ascent, _ in kinds if ascent}
    units = " / ".join(dict.fromkeys(unit for _, _, unit in kinds))
    return ", ".join([name, *sorted(of), units])


def _estimate(entry: Entry) -> str:
    about = [entry.model] * bool(entry.model) + ["noisy"] * entry.noisy
    about += ["not a bound"] * bool(entry.not_a_bound)
    said = ", ".join(dict.fromkeys(about))  # its model may have the same name
    return _with_error(entry.estimate) + (f" ({said})" if said else "")


def _bits(entry: Entry) -> str:
    return NONE if entry.bits is None else _with_error(entry.bits)


def _parts(entry: Entry) -> str:
    parts = entry.estimate.over_images, entry.estimate.over_seeds
    return " / ".join(NONE if part is None else f"{part:.2g}" for part in parts)


def _measure(estimate: Estimate) -> str:
    if estimate.se is None:
        mean = estimate.mean
        return f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.4g}"
    return _with_error(estimate)


def _with_error(estimate: Estimate) -> str:
    return with_error(estimate.mean, estimate.se, _digits(estimate.se))


def _digits(error: float | None) -> str:
    """How numbers are formatted that have this error: to two digits of it."""
    return f",.{2 if not error else min(max(1 - math.floor(math.log10(error)), 0), 6)}f"
