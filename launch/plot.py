"""What finished runs say, side by side: a picture."""

import pathlib
from collections.abc import Sequence

from launch.table import (
    Result,
    between_codes,
    distinct,
    grouped,
    nats,
    sampling_seconds,
)
from vdp.evaluation import noisy, report
from vdp.metrics import divergence
from vdp.pictures import style
from vdp.runtime.numbers import mean_and_error

BOUND = "Bound, nats"


def draw(path: pathlib.Path, results: Sequence[Result]) -> None:
    """Writes one line per grid point and one panel per quantity, with the signs of the table.

    An arrow below each panel says where it is better. Nothing is written where no run has a number.
    """
    finished = [result for result in results if result.status == "finished"]
    there = lambda series: [s for s in series if any(s[1](r) is not None for r in finished)]
    bounds = there([(_legend(name, finished), nats(name)) for name in ("elbo", "iwae")])
    panels = [
        (BOUND, bounds),
        ("FID", [("", lambda result: result.get("fid.value"))]),
        ("Training, s", [("", report.training_seconds)]),
        ("Sampling, s per 1,000 images", [("", sampling_seconds)]),
    ]
    if not bounds:  # autoencoders
        error = ("Squared error of a pixel", [("", lambda result: result.get("mse"))])
        panels = [error, ("Path ratio", [("", between_codes("path_ratio"))]), *panels]
    panels = [(title, there(series)) for title, series in panels if there(series)]
    if not panels:
        return
    groups = [(point, [r for r in group if r in finished]) for point, group in grouped(results)]
    labels = [
        style.plain(", ".join(map("=".join, point.items()))) + "\n(none finished)" * (not group)
        for point, group in groups
    ]
    width = 0.085 * max(map(len, labels)) + 2.9 * len(panels)
    figure = style.figure(width, 1.8 + 0.44 * len(groups), dpi=160)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, series) in zip(row, panels, strict=True):
        colors = (style.BLUE, style.ORANGE) if title == BOUND else (style.DARK,)
        for index, (name, value) in enumerate(series):
            shift = (index - (len(series) - 1) / 2) * 0.32
            _dots(axes, groups, value, shift, colors[index], name)
        _finish(axes, title)
    row[0].set_yticks(range(len(groups)), labels)
    row[0].set_ylim(len(groups) - 0.4, -0.6)
    if bounds:
        figure.legend(loc="outside upper left", frameon=False, ncols=2, fontsize=9.5)
    figure.supxlabel(_what_is_drawn(groups), fontsize=8.5, color="0.35")
    style.save(figure, path)


def _what_is_drawn(groups: Sequence[tuple[dict[str, str], list[Result]]]) -> str:
    """What dots and bars are."""
    if max(len(group) for _, group in groups) == 1:
        return "dot: the one seed, which has no error over seeds"
    return "small dots: seeds; large dot: their mean; bar: its standard error over seeds"


def _legend(estimator: str, finished: Sequence[Result]) -> str:
    of = lambda key: distinct(result.get(f"estimators.{estimator}.{key}") for result in finished)
    entries = [result.get(f"estimators.{estimator}") or {} for result in finished]
    doubt = ", noisy" if any(map(noisy.is_noisy, entries)) else ""
    unbounded = any(divergence.why_no_bound(estimator, entry) for entry in entries)
    doubt += ", not a bound" if unbounded else ""
    return f"{estimator.upper()} ({of('model')})" + (f", K = {of('k')}" if of("k") else "") + doubt


def _dots(axes, groups, value, shift: float, color: str, label: str) -> None:
    """Every seed as a small dot; their mean and its standard error on top."""
    for height, (_, group) in enumerate(groups):
        values = [v for v in map(value, group) if v is not None]
        if not values:
            continue
        mean, error = mean_and_error(values)
        heights = [height + shift] * len(values)
        axes.plot(values, heights, "o", ms=4, color=color, alpha=0.35, mew=0)
        axes.errorbar(mean, heights[0], xerr=error, fmt="o", ms=6.5, color=color, elinewidth=1.6,
                      mec="white", mew=0.8, label=label or None)  # fmt: skip
        label = ""


def _finish(axes, title: str) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    low, high = axes.dataLim.intervalx
    better = "better →" if title == BOUND else "← better"
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if low > 0 and high > 20 * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 1000 * low else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        better += " (log scale)"
    axes.margins(x=0.12)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    axes.set_xlabel(better, loc="right" if title == BOUND else "left", color="0.35")
    style.dress(axes)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
