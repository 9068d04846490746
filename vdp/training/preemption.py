"""Signals that ask a training to stop: heard at once, acted on where everything can be saved."""

import contextlib
import os
import signal

from vdp.errors import Interrupted
from vdp.runtime import parallel


class Preemption:
    """Whether to stop: SIGTERM to any process, or Ctrl-C, from its making until `release`."""

    def __init__(self):
        self._reason = "SIGTERM"  # where another process heard of it
        self._received = False
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:  # as in a shell's background
                with contextlib.suppress(ValueError):  # outside the main thread are no signals
                    self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number, _):
        if number == signal.SIGINT:
            if self._received:
                raise KeyboardInterrupt
            self._reason = "Ctrl-C"
            os.write(2, b"stopping after this step, saved; Ctrl-C again stops at once\n")
        self._received = True

    def reached(self) -> bool:
        """The same answer in every process, so that all save the same step."""
        return parallel.agreed(self._received)

    def stopped(self, where: str) -> Interrupted:
        """What to raise when all is saved."""
        return Interrupted(f"stopped by {self._reason}{where}")

    def release(self) -> None:
        """Gives the signals back."""
        for number, previous in self._previous.items():
            if previous is not None:  # of another language's making: cannot be given back
                signal.signal(number, previous)
