"""What a run says while it works: metrics.jsonl, TensorBoard events, progress on the terminal."""

import itertools
import json
import math
import pathlib
import statistics
import sys
import time

from vdp import workdir as files

METRICS_FILE = "metrics.jsonl"
SILENCE = 60.0  # s without a line, in a log


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


class Progress:
    """A progress bar on a terminal, one line a report elsewhere, silence when not `enabled`."""

    def __init__(self, title: str, total: int, *, enabled: bool = True):
        self.enabled = enabled
        self.total = total
        self._said = time.monotonic()
        self._bar = None
        if enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(title, total=total, status="")
            self._bar.start()
        self._title = title

    def update(self, done: int, status: str | None = None) -> None:
        """Moves the bar and shows a `status`; without a bar a line of it, or one a minute."""
        if self._bar:
            fields = {} if status is None else {"status": status}
            self._bar.update(self._task, completed=done, **fields)
        elif status is not None or time.monotonic() - self._said >= SILENCE:
            self.say(f"{self._title} {done}/{self.total}  {status or ''}".rstrip())

    def say(self, text: str) -> None:
        """One line for the person, above the bar."""
        self._said = time.monotonic()
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self.enabled:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Gives the terminal back."""
        if self._bar:
            self._bar.stop()
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as 1h02m, 3m05s or 12s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
