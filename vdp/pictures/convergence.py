"""How an estimate moves while its accuracy grows: a picture, and a table for people to read."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdp.evaluation.convergence import CONVERGENCE
from vdp.evaluation.doublings import in_nats
from vdp.pictures import style
from vdp.record import PLOTS
from vdp.runtime import files
from vdp.runtime import markdown as md

RATIO = 5.0  # of the largest to the median, from which an axis is logarithmic
COLOURS = (style.BLUE, style.ORANGE, style.GREEN)


def write(
    workdir: pathlib.Path,
    result: Mapping[str, Any],
    name: str,
    *,
    suffix: str = "",
    formats: Sequence[str] = ("png",),
) -> None:
    """Writes plots/convergence-NAME.md and the picture of that name.

    Args:
      workdir: of the run.
      result: what eval.json holds.
      name: of an entry of its "convergence".
      suffix: of the files' names, where the result is not that of eval.json.
      formats: of the picture.
    """
    path = workdir / PLOTS / f"convergence-{name}{suffix}.png"
    if result["convergence"][name]["rows"]:  # too few samples of a FID have none
        save(path, result["convergence"][name], name, formats=formats)
    files.write_text(path.with_suffix(".md"), markdown(result, name))


def markdown(result: Mapping[str, Any], name: str) -> str:
    """The page of one report: its sentence, what it is of, and its rows as a table.

    The arguments are those of `write`.
    """
    about, entry = CONVERGENCE[name], result["convergence"][name]
    columns = list(about.columns)
    lines = []
    for row in entry["rows"]:
        limit = "limit" if row[columns[0]] is None else f"{row[columns[0]]:,}"
        lines.append([limit, *(_cell(row.get(column)) for column in columns[1:])])
    if entry.get("extrapolated") is not None:
        extrapolated = _cell(entry["extrapolated"])
        lines.append(["extrapolated", extrapolated, *[""] * (len(columns) - 2)])
    table = "\n".join(md.table(list(about.columns.values()), lines))
    num = f"{entry['num_examples']:,} {about.of}"
    facts = f"Checkpoint {result['checkpoint']}, step {result['step']}; {num}"
    if about.of == "images":
        facts += f" of the {result['split']} split. ± is the standard error over these images; "
        facts += "differences are paired by image."
    else:
        facts += ". ± is the standard error over subsets, of the extrapolation a jackknife's."
    note = f" With {entry['note']}." if entry.get("note") else ""
    return f"# {about.title}\n\n{_sentence(entry['words'])}\n\n{table}\n\n{facts}{note}\n"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _cell(value: Any) -> str:
    if value is None:
        return ""
    estimate: Any = value
    if not isinstance(value, Mapping):
        return f"{value:.3g}"
    return in_nats(estimate) + (" (noisy)" if value.get("noisy") else "")


def save(
    path: pathlib.Path, entry: Mapping[str, Any], name: str, *, formats: Sequence[str] = ("png",)
) -> None:
    """Draws every column of a report over its first one, with two standard errors.

    The row without a number in the first column, and what is extrapolated, are dashed lines.

    Args:
      path: of the picture.
      entry: of eval.json's "convergence".
      name: of the entry.
      formats: of the files.
    """
    about = CONVERGENCE[name]
    axis, *shown = about.columns
    shown = [c for c in shown if any(row.get(c) is not None for row in entry["rows"])]
    rows = [row for row in entry["rows"] if row[axis] is not None]
    limits = [row for row in entry["rows"] if row[axis] is None]
    figure = style.figure(7, 1.2 + 2.2 * len(shown))
    panels = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    for index, (axes, column) in enumerate(zip(panels, shown, strict=True)):
        points = [(row[axis], row[column]) for row in rows if row.get(column) is not None]
        values = [_mean(value) for _, value in points]
        errors = [2 * _error(value) for _, value in points]
        how: dict[str, Any] = dict(marker="o", ms=4, lw=1.5, capsize=3, elinewidth=1)
        bars = errors if any(errors) else None
        axes.errorbar([x for x, _ in points], values, bars, color=COLOURS[index % 3], **how)
        _scale(axes, values)
        for row in limits:
            if row[column] is not None:
                _line(axes, _mean(row[column]), "limit")
        if index == 0 and entry.get("extrapolated") is not None:
            _line(axes, _mean(entry["extrapolated"]), "extrapolated")
        if column.startswith(("rise", "above")):
            axes.axhline(0, color="0.6", lw=1)
        axes.set(ylabel=about.columns[column].replace(", nats", ",\nnats"))
        style.dress(axes)
    _doubling(panels[-1], [row[axis] for row in rows])
    panels[-1].set(xlabel=about.columns[axis])
    title = f"{about.title}, {entry['num_examples']:,} {about.of}"
    over = "images" if about.of == "images" else "subsets"
    panels[0].set_title(f"{title}\n(bars: two standard errors over {over})", fontsize=10)
    style.save(figure, path, formats)


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, Mapping) else value)


def _error(value: Any) -> float:
    return (value["se"] or 0.0) if isinstance(value, Mapping) else 0.0


def _line(axes: Any, height: float, label: str) -> None:
    axes.axhline(height, color=style.DARK, lw=1.2, ls="--", label=label)
    axes.legend(frameon=False)


def _scale(axes: Any, values: Sequence[float]) -> None:
    """Makes the vertical axis logarithmic on both sides of 0 where few values dwarf the others."""
    from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

    sizes = np.abs(values)
    if sizes.max() <= RATIO * np.median(sizes) or not sizes.min():
        return
    smallest = float(max(sizes.min(), 1.0))
    axes.set_yscale("symlog", linthresh=smallest)
    subs = (1, 2, 5) if sizes.max() < 100 * smallest else (1,)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=smallest, subs=subs))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _doubling(axes: Any, numbers: Sequence[int]) -> None:
    """A horizontal axis on which doublings are equally far apart, marked at the numbers."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    apart: list[int] = []
    for number in numbers:  # those that would be written over each other are not marked
        if not apart or math.log2(number / apart[-1]) > 0.75:
            apart.append(number)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(apart))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
