"""What is measured while a run trains: written to every sink, read from metrics.jsonl later."""

import contextlib
import itertools
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.runtime import files
from vdp.runtime.sinks import EVENTS_FOLDER, METRICS_FILE, JsonLines, Sink, TensorBoard

BEGINNING = b'{"step": '  # of every line
RATIO = 3.0  # of the largest to the median, from which the axis of a curve is logarithmic


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether a curve of these values needs a logarithmic axis to be seen."""
    return bool(values) and min(values) > 0 and max(values) > RATIO * statistics.median(values)


class Metrics:
    """Appends to metrics.jsonl and every other sink; cut back so that a resumed run is one.

    Args:
      workdir: of the run.
      step: the last one whose lines stay; -1 for none.
      tensorboard: whether events are written too.
      others: sinks besides.
      say: hears of lines that are no measurements; they move to metrics.jsonl.bad.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        step: int = -1,
        tensorboard: bool = True,
        others: Sequence[Sink] = (),
        say: Callable[[str], None] = lambda line: None,
    ):
        self.path = workdir / METRICS_FILE
        self._cut_back(step, say)
        events = [TensorBoard(workdir / EVENTS_FOLDER, step)] if tensorboard else []
        self._sinks: list[Sink] = [JsonLines(self.path), *events, *others]

    def _cut_back(self, step: int, say: Callable[[str], None]) -> None:
        measurements, bad = _sorted_out(self.path)
        if bad:
            aside = self.path.with_name(f"{METRICS_FILE}.bad")
            with aside.open("ab") as file:
                file.writelines(line + b"\n" for line in bad)
            say(f"{self.path}: {len(bad)} lines are no measurements; moved to {aside.name}")
        kept = [json.dumps(line) for line in measurements if line["step"] <= step]
        files.write_text(self.path, "".join(line + "\n" for line in kept))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line {"step": ..., "train/...": ...}; values that are not finite become null."""
        for sink in self._sinks:
            sink.scalars(step, values)

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "n"]) -> None:
        """A distribution, where there is something that shows it; finite numbers alone."""
        finite = values[np.isfinite(values)]
        for sink in self._sinks if len(finite) else ():
            sink.histogram(step, name, finite)

    def pictures(self, step: int, paths: Sequence[pathlib.Path]) -> None:
        """PNG files, by the names of their folders, where there is something that shows them."""
        for sink, path in itertools.product(self._sinks, paths):
            sink.picture(step, f"eval/{path.parent.name}", path)

    def close(self) -> None:
        """Closes every sink, also those after one that fails to close."""
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """The measurements in a metrics.jsonl, {"step": ..., name: number or None}; [] without it.

    Lines that are none are left out, as is a last one cut short by a kill.
    """
    return _sorted_out(path)[0]


def _sorted_out(path: pathlib.Path) -> tuple[list[dict[str, Any]], list[bytes]]:
    """(measurements, other lines); the beginning of a last line is in neither."""
    *lines, last = (path.read_bytes() if path.exists() else b"").split(b"\n")
    parsed = [(line, _measurement(line)) for line in [*lines, last] if line.strip()]
    cut_short = last.startswith(BEGINNING) or BEGINNING.startswith(last)
    if parsed and parsed[-1] == (last, None) and cut_short:
        parsed.pop()
    measurements = [values for _, values in parsed if values is not None]
    return measurements, [line for line, values in parsed if values is None]


def _measurement(line: bytes) -> dict[str, Any] | None:
    """What a line holds: a step, and finite numbers or nulls; None where it holds anything else."""
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or type(values.get("step")) is not int or values["step"] < 0:
        return None
    numbers = all(value is None or is_finite(value) for value in values.values())
    return values if numbers else None


def is_finite(value: object) -> bool:
    """Whether something read from JSON is a number that floats can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def last_step(metrics: Sequence[Mapping[str, Any]]) -> int:
    """The largest step that lines of `read_metrics` are of; 0 without any."""
    return max((line["step"] for line in metrics), default=0)


def train_seconds(path: pathlib.Path, step: int | None = None) -> float | None:
    """Seconds spent in training steps up to `step`, over all resumptions; None where unknown.

    Args:
      path: of metrics.jsonl.
      step: the last that counts; None: all do.
    """
    lines = [line for line in read_metrics(path) if step is None or line["step"] <= step]
    spent = [line["train/seconds"] for line in lines if line.get("train/seconds") is not None]
    return sum(spent) if spent else None


def series(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """[(step, value)] of a metric; of training, means over stretches of about equal length.

    A line of training is the mean since the line before, of few steps where a validation or a
    save lies between; such a stretch is joined with the next.

    Args:
      metrics: what `read_metrics` returns.
      key: e.g. "train/elbo".
    """
    points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None]
    if not key.startswith("train/") or len(points) < 3:
        return points
    ends = [0, *(step for step, _ in points)]
    lengths = [after - before for before, after in itertools.pairwise(ends)]
    shortest, joined, length, total = statistics.median(lengths) / 2, [], 0, 0.0
    for (step, value), stretch in zip(points, lengths, strict=True):
        length, total = length + stretch, total + stretch * value
        if length >= max(shortest, 1):
            joined.append((step, total / length))
            length, total = 0, 0.0
    return [*joined, *([(points[-1][0], total / length)] if length else [])]
