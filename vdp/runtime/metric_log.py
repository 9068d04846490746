"""metrics.jsonl and TensorBoard events: written while a run trains, read by whoever asks later."""

import itertools
import json
import math
import pathlib
import statistics

from vdp.runtime import files

METRICS_FILE = "metrics.jsonl"


class Metrics:
    """Appends to metrics.jsonl and TensorBoard; cut back to `step` so that a resumed run is one."""

    def __init__(self, workdir: pathlib.Path, *, step: int = 0, tensorboard: bool = True):
        self.path = workdir / METRICS_FILE
        self._cut_back(step)
        self._file = self.path.open("a", buffering=1)
        self._events = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(
                str(workdir / "tensorboard"), purge_step=step + 1 if step else None
            )

    def _cut_back(self, step: int) -> None:
        kept = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
        with files.replacing(self.path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept))

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line {"step": ..., "train/...": ...}; values that are not finite become null."""
        line = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"step": step, **line}) + "\n")
        if self._events:
            for name, value in values.items():
                if math.isfinite(value):
                    self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        if self._events:
            self._events.close()


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a metrics.jsonl; a last line cut short by a kill is left out."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def train_seconds(path: pathlib.Path, step: int) -> float | None:
    """Seconds spent in training steps up to `step`, over all resumptions; None where unknown."""
    lines = read_metrics(path)
    spent = [m["train/seconds"] for m in lines if "train/seconds" in m and m["step"] <= step]
    return sum(spent) if spent else None


def series(metrics: list[dict], key: str) -> list[tuple[int, float]]:
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
    for (step, value), own in zip(points, lengths, strict=True):
        length, total = length + own, total + own * value
        if length >= shortest:
            joined.append((step, total / length))
            length, total = 0, 0.0
    return joined
