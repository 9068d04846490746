"""Curves over training steps, and bars of what each latent carries."""

import pathlib
from collections.abc import Sequence
from typing import Any

from vdp.pictures import style
from vdp.runtime import metric_log

FEW = 30  # points of a curve: up to as many are marked, for one alone has no line


def save_curves(
    path: pathlib.Path,
    metrics: list[dict],
    *,
    name: str,
    label: str,
    scale: float,
    formats: Sequence[str] = ("png",),
) -> None:
    """Writes what training and validation reached over steps, above the gradient's norm.

    All points are inside, the first as well: where it lies far above the others the axis is
    logarithmic.

    Args:
      path: the picture.
      metrics: lines of metrics.jsonl.
      name: of the metric, e.g. "elbo".
      label: of the vertical axis, e.g. "negative bound, bits/dim".
      scale: factor from the metric to what the label says.
      formats: of the files.
    """
    from matplotlib.ticker import MaxNLocator

    norms = metric_log.series(metrics, "train/grad_norm")
    figure = style.figure(8, 6.5 if norms else 4.5)
    if norms:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        marker = "o" if len(norms) <= FEW else None
        below.plot(*zip(*norms, strict=True), lw=1, marker=marker, ms=3, color=style.DARK)
        note = _scaled(below, [norm for _, norm in norms])
        below.set(xlabel="step", ylabel=f"gradient norm{note}")
        style.dress(below)
    else:
        axes = figure.subplots()
        axes.set(xlabel="step")
    shown: list[float] = []
    training: dict[str, Any] = dict(lw=1, alpha=0.75, color=style.BLUE, ms=3)
    validation: dict[str, Any] = dict(lw=2, color=style.ORANGE, ms=4, marker="o")
    for split, weights, how in (
        ("train", "training (current weights, one draw an image)", training),
        ("eval", "validation (EMA weights)", validation),
    ):
        points = [
            (step, value * scale) for step, value in metric_log.series(metrics, f"{split}/{name}")
        ]
        if points:
            few = dict(marker="o") if len(points) <= FEW else {}
            axes.plot(*zip(*points, strict=True), label=weights, **(how | few))
            shown += [value for _, value in points]
    if shown:
        axes.legend(frameon=False)
    axes.set(ylabel=f"{label}{_scaled(axes, shown)}", title="Training")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.dress(axes)
    style.save(figure, path, formats)


def _scaled(axes: Any, values: Sequence[float]) -> str:
    """Makes the vertical axis logarithmic where it has to be, and returns what is said of that.

    The ticks are plain numbers.
    """
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if not metric_log.is_logarithmic(values):
        return ""
    ratio = max(values) / min(values)
    axes.set_yscale("log")
    steps = (1, 1.5, 2, 3, 5, 7) if ratio < 10 else (1, 2, 5) if ratio < 100 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=15))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return " (log scale)"


def save_latent_bars(
    path: pathlib.Path, table: list[dict], *, formats: Sequence[str] = ("png",)
) -> None:
    """Writes rate and share of active units of every latent, top first.

    Args:
      path: the picture.
      table: `latents` of eval.json.
      formats: of the files.
    """
    names = [
        row["name"].replace("_", "$_{") + ("}$" if "_" in row["name"] else "") for row in table
    ]
    figure = style.figure(max(5, 1.5 + 0.35 * len(table)), 5)
    above, below = figure.subplots(2, 1, sharex=True)
    above.bar(names, [row["rate"] for row in table], color=style.BLUE)
    above.set(ylabel="rate, nats", title="What each latent carries, from the top")
    active = [
        100 * row["active"] / row["units"] if row["active"] is not None else 0 for row in table
    ]
    below.bar(names, active, color=style.GREEN)
    for place, row in enumerate(table):
        if row["active"] is None:
            below.text(place, 3, "not counted", rotation=90, ha="center", va="bottom", fontsize=8)
    below.set(ylabel="active units, %", ylim=(0, 105))
    for axes in (above, below):
        style.dress(axes, grid="y")
    style.save(figure, path, formats)
