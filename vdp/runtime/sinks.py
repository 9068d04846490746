"""Where what is measured while a run trains goes: metrics.jsonl and TensorBoard.

A sink is written to by the process that writes the run's files, and by no other.
"""

import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

METRICS_FILE = "metrics.jsonl"
EVENTS_FOLDER = "tensorboard"
BINS = 64  # of a distribution; TensorBoard itself shows 30 of any
FLUSH_SECONDS = 10.0  # how old events may be that TensorBoard does not see yet


class Sink(Protocol):
    """What takes measurements at a step; steps never decrease."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Takes numbers by name; some may not be finite."""
        ...

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "n"]) -> None:
        """Takes a distribution as N finite numbers, one or more."""
        ...

    def picture(self, step: int, name: str, path: pathlib.Path) -> None:
        """Takes a PNG file."""
        ...

    def close(self) -> None:
        """Writes what is left; called once, however the training ends."""
        ...


class JsonLines:
    """metrics.jsonl: a line {"step": ..., name: number or null} for every call; numbers alone."""

    def __init__(self, path: pathlib.Path):
        self._file = path.open("a", buffering=1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line; values that are not finite become null."""
        line = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"step": step, **line}) + "\n")

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "n"]) -> None:
        """Nothing: a line holds numbers."""

    def picture(self, step: int, name: str, path: pathlib.Path) -> None:
        """Nothing: pictures have files of their own."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """Events for TensorBoard; those after `step` of an earlier start are purged.

    They are written by who measures, and an OSError is raised there. tensorboardX's SummaryWriter
    has a thread that writes, whose queue is waited for without end once a full disk has ended it.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._file = EventsWriter(str(folder / "events"))
        self._put(step + 1, session_log=SessionLog(status=SessionLog.START))
        self._flushed = time.monotonic()

    def _put(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write_event(Event(wall_time=time.time(), step=step, **content))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of each curve."""
        from tensorboardX import summary

        for name, value in values.items():
            if math.isfinite(value):
                self._put(step, summary=summary.scalar(name, value))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:  # it waits for the disk
            self._file.flush()
            self._flushed = time.monotonic()

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "n"]) -> None:
        """A slice of a distribution over steps."""
        from tensorboardX import summary

        self._put(step, summary=summary.histogram(name, values, bins=BINS))

    def picture(self, step: int, name: str, path: pathlib.Path) -> None:
        """The file's pixels."""
        from PIL import Image
        from tensorboardX import summary

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._put(step, summary=summary.image(name, pixels, dataformats="HWC"))

    def close(self) -> None:
        """Writes and closes."""
        self._file.close()
