"""A trace of some training steps by `jax.profiler`, on demand."""

import pathlib
from typing import Any

import jax

FOLDER = "profile"  # in the run's


class Profile:
    """Traces `num_steps` steps, from the second dispatch on: the first one compiles.

    Args:
      folder: where the trace goes; open it with TensorBoard's profile plugin or Perfetto.
      num_steps: rounded up to whole dispatches; 0 traces nothing.
    """

    def __init__(self, folder: pathlib.Path, num_steps: int):
        self.folder = folder
        self._left = num_steps
        self._first: int | None = None  # step of the first call
        self._end: int | None = None  # while a trace is being written, the step where it ends

    def update(self, step: int, state: Any) -> str | None:
        """Called between two dispatches; returns a line to say when the trace is there."""
        self._first = step if self._first is None else self._first
        if self._end is None and self._left and step > self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self.folder))
            self._end, self._left = step + self._left, 0
        elif self._end is not None and step >= self._end:
            jax.block_until_ready(state)
            self.close()
            return f"profile of the steps before {step}: {self.folder}"
        return None

    def close(self) -> None:
        """Ends a trace that is being written."""
        if self._end is not None:
            self._end = None
            jax.profiler.stop_trace()
