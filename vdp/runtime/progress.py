"""What a run says on the terminal while it works."""

import os
import sys
import time
from typing import Any

SILENCE = 60.0  # s without a line, in a log


class Progress:
    """A progress bar on a terminal, one line a report elsewhere, silence when not `enabled`.

    `with` it the terminal is given back however the block ends.
    """

    def __init__(self, title: str, total: int, *, enabled: bool = True):
        self.enabled = enabled
        self.total = total
        self._said = time.monotonic()
        self._bar = None
        if enabled and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
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
            fields: dict[str, Any] = {} if status is None else {"status": status}
            self._bar.update(self._task, completed=done, **fields)
        elif status is not None or time.monotonic() - self._said >= SILENCE:
            self.say(f"{self._title} {done}/{self.total}  {status or ''}".rstrip())

    def show(self, done: int, status: str) -> None:
        """Moves the bar, with a status that changes all the time; without a bar a line a minute."""
        if self._bar or time.monotonic() - self._said >= SILENCE:
            self.update(done, status)

    def say(self, text: str) -> None:
        """One line for the person, above the bar."""
        self._said = time.monotonic()
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self.enabled:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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


def in_bytes(size: float) -> str:
    """A number of bytes for people: "512 B", "1.5 MiB"."""
    number, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{number:,.4g} {units[0]}"
