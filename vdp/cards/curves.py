"""Curves of a run's metrics.jsonl as they are drawn: lines in a unit square, and ticks beside it.

The vertical axis is logarithmic where the largest value lies far above the others, as in
plots/loss.png. Places are fractions of the square: 0 is left and below, 1 is right and above.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vdp.runtime import metric_log

POINTS = 400  # of a line; more are joined in equal stretches, as their means
MARKED = 40  # points of a line: up to as many are marked
MARGIN = 0.05  # of the square, above and below the lines
TITLES = {  # of what models with a bound are compared by, the first that there is
    "bits_per_dim": "Negative bound, bits per dimension",
    "negative_bound": "Negative bound, nats",
}
Series = Sequence[tuple[int, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line: its name, and its points (step, value, x, y)."""

    name: str
    points: Sequence[tuple[int, float, float, float]]

    @property
    def path(self) -> str:
        """The `d` of an SVG path in a square of 1000 units, whose y goes down."""
        places = [f"{1000 * x:.1f} {1000 * (1 - y):.1f}" for _, _, x, y in self.points]
        return "M" + "L".join(places)

    @property
    def dots(self) -> str:
        """The `d` of a path of points, drawn by round caps; "" where there are too many."""
        if len(self.points) > MARKED:
            return ""
        return "".join(f"M{1000 * x:.1f} {1000 * (1 - y):.1f}h0" for _, _, x, y in self.points)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One plot: its title, lines, and ticks (text, place) of both axes."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[str, float]]
    y_ticks: Sequence[tuple[str, float]]


def of(metrics: Sequence[Mapping[str, Any]], score: str | None) -> list[Curve]:
    """The curves of a run: what it is compared by first, then its rate, gradient and learning rate.

    Args:
      metrics: lines of metrics.jsonl.
      score: the name of its score in them; None: a bound, in bits per dimension where it has them.
    """
    lines = [_with_derived(line) for line in metrics]
    names = list(dict.fromkeys(name for line in lines for name in line))
    scores = [name.removeprefix("eval/") for name in names if name.startswith("eval/")]
    has = lambda name: f"train/{name}" in names or f"eval/{name}" in names
    candidates = [*([score] if score else []), *TITLES, *scores]
    chosen = next((name for name in candidates if has(name)), None)
    curves: list[Curve | None] = []
    if chosen:
        title = TITLES.get(chosen, chosen.replace("_", " ").capitalize())
        curves.append(_curve(title, _both(lines, chosen)))
    curves.append(_curve("Rate, nats", _both(lines, "rate")))
    for name, title in (("grad_norm", "Gradient norm"), ("learning_rate", "Learning rate")):
        points = metric_log.series(metrics, f"train/{name}")
        curves.append(_curve(title, {"training": points}))
    return [curve for curve in curves if curve]


def _both(metrics: Sequence[Mapping[str, Any]], name: str) -> dict[str, Series]:
    lines = {"training": "train", "validation": "eval"}
    return {line: metric_log.series(metrics, f"{split}/{name}") for line, split in lines.items()}


def _with_derived(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics with the negative bound and the rate, log p(x|z) without the bound."""
    derived = dict(line)
    for split in ("train", "eval"):
        bound, likelihood = line.get(f"{split}/elbo"), line.get(f"{split}/likelihood")
        if bound is not None:
            derived[f"{split}/negative_bound"] = -bound
            if likelihood is not None:
                derived[f"{split}/rate"] = likelihood - bound
    return derived


def _curve(title: str, lines: Mapping[str, Series]) -> Curve | None:
    """The plot of lines of which some have points; None where none has."""
    thin = {name: _thinned(points) for name, points in lines.items() if points}
    if not thin:
        return None
    last = max(max(step for step, _ in points) for points in thin.values()) or 1
    values = [value for points in thin.values() for _, value in points]
    place, y_ticks, scale = _vertical(values)
    drawn = [
        Line(name=name, points=[(step, v, step / last, place(v)) for step, v in points])
        for name, points in thin.items()
    ]
    x_ticks = [(f"{tick:,.0f}", tick / last) for tick in _ticks(0, last, whole=True)]
    return Curve(title=f"{title}{scale}", lines=drawn, x_ticks=x_ticks, y_ticks=y_ticks)


def _thinned(points: Series) -> list[tuple[int, float]]:
    """At most POINTS of them: the last step and the mean value of equal stretches."""
    size = math.ceil(len(points) / POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], statistics.fmean(v for _, v in group)) for group in groups]


def _vertical(
    values: Sequence[float],
) -> tuple[Callable[[float], float], list[tuple[str, float]], str]:
    """(from a value to its place, the ticks, what is said of the scale)."""
    is_log = metric_log.is_logarithmic(values)
    scaled: Callable[[float], float] = math.log10 if is_log else float
    low, high = scaled(min(values)), scaled(max(values))
    width = (high - low) or abs(high) or 1.0
    if high == low:
        low, high = low - width / 2, high + width / 2
        width = high - low

    def place(value: float) -> float:
        return MARGIN + (1 - 2 * MARGIN) * (scaled(value) - low) / width

    ticks = _log_ticks(10**low, 10**high) if is_log else _ticks(low, high)
    inside = [(f"{tick:.4g}", place(tick)) for tick in ticks]
    shown = [(text, at) for text, at in inside if 0 <= at <= 1]
    return place, shown, ", log scale" if is_log else ""


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones: 1, 2, 5 of every power of ten, or the powers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(powers) > 5 else (1, 2, 5)
    return [step * 10.0**power for power in powers for step in steps]
