"""The signals that stop a command: one handler for every mode and phase, which raises nothing.

SIGTERM (a scheduler's), SIGHUP (of a terminal that was closed) and the first Ctrl-C are noted, so
that no library can swallow them or take them for an error of its own; `vdp.runtime.interruption`
looks where work can be cut. A second Ctrl-C ends the command at once. No jax here: this is the
first that a command does.
"""

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from vdp.errors import STOPPED

NAMES = {
    signal.SIGTERM: "SIGTERM",
    signal.SIGINT: "Ctrl-C",
    signal.SIGHUP: "SIGHUP, of a closed terminal",
}
KILLED = 130  # the exit code after a second Ctrl-C
FIRST = "stopping as soon as everything is saved; Ctrl-C again stops at once\n"
SECOND = "interrupted; the same command continues from the last checkpoint\n"
SHOW_CURSOR = "\x1b[?25h"  # which a progress bar hides


class _Listener:
    """What has been heard since `install`.

    A signal reaches the handler in the main thread, which runs only between two operations of
    Python, and, where there is a watcher, a thread as well, which hears it even during a
    compilation. Each counts by itself, as libraries may take the watcher's pipe for a while.

    Args:
      watched: whether there is a watcher, which may end the process.
    """

    def __init__(self, *, watched: bool):
        self.reason: str | None = None
        self.saves = True  # else nothing is lost by ending at once
        self._watched = watched
        self._lock = threading.RLock()
        self._interrupts = {"handler": 0, "watcher": 0}
        self._previous: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._previous_pipe = -1

    def install(self) -> None:
        """Takes the signals, but for those that are ignored, as in a shell's background."""
        for number in NAMES:
            if signal.getsignal(number) != signal.SIG_IGN:
                with contextlib.suppress(ValueError):  # outside the main thread are no signals
                    self._previous[number] = signal.signal(number, self._handle)
        if self._watched and self._previous:
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._previous_pipe = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def release(self) -> None:
        """Gives the signals back."""
        if self._pipe:
            signal.set_wakeup_fd(self._previous_pipe)
            os.write(self._pipe[1], b"\0")  # the watcher ends
        for number, previous in self._previous.items():
            if previous is not None:  # of another language's making: cannot be given back
                signal.signal(number, previous)

    def end_if_stopped(self) -> None:
        """Ends a watched process that has heard a signal; nothing is there to be saved."""
        if self._watched and self.reason:
            _end(STOPPED, f"stopped by {self.reason}; nothing had been started\n")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._note(number, "handler"):
            if self._watched:
                _end(KILLED, SECOND)
            raise KeyboardInterrupt

    def _watch(self) -> None:
        assert self._pipe is not None
        while number := os.read(self._pipe[0], 1)[0]:
            if number not in NAMES:
                continue
            if self._note(number, "watcher"):
                _end(KILLED, SECOND)
            if not self.saves:
                self.end_if_stopped()
        for end in self._pipe:
            os.close(end)

    def _note(self, number: int, listener: str) -> bool:
        """Notes a signal; returns whether it is a second Ctrl-C."""
        with self._lock:
            before = max(self._interrupts.values())
            self._interrupts[listener] += number == signal.SIGINT
            after = max(self._interrupts.values())
            self.reason = self.reason or NAMES[signal.Signals(number)]
            if number == signal.SIGHUP:
                _leave_terminal()
            if after > before == 0 and self.saves:
                _say(FIRST)
            return after > max(before, 1)


def _say(text: str) -> None:
    """Writes to the terminal as a handler may: no buffer that it may have interrupted."""
    with contextlib.suppress(OSError):  # closed
        os.write(2, text.encode())


def _leave_terminal() -> None:
    """Sends what is still said to nowhere: writing to a closed terminal is an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                os.dup2(nowhere, number)
    os.close(nowhere)


def _end(code: int, why: str) -> NoReturn:
    """Ends the process, whatever it does."""
    _say(why + (SHOW_CURSOR if os.isatty(2) else ""))
    os._exit(code)


_listeners: list[_Listener] = []  # one, or none


def listen(*, watched: bool = False) -> Callable[[], None]:
    """Takes SIGTERM and Ctrl-C for this command; where that is done already, nothing happens.

    Args:
      watched: of a process that is the command and nothing else: a second Ctrl-C ends it, also in
        the middle of a compilation. Elsewhere it raises KeyboardInterrupt.

    Returns:
      What gives them back when it is called.
    """
    if _listeners:
        return lambda: None
    listener = _Listener(watched=watched)
    _listeners.append(listener)
    listener.install()

    def release() -> None:
        listener.release()
        _listeners.clear()

    return release


def listening() -> bool:
    """Whether signals are taken here: in commands, not where vdp is a library."""
    return bool(_listeners)


def reason() -> str | None:
    """By what this process is asked to stop: "SIGTERM", "Ctrl-C", or None."""
    return _listeners[0].reason if _listeners else None


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """While entered, the first signal ends a watched process (143): nothing is there to be saved.

    So does one that came before. For what waits outside of Python, where no handler runs.
    """
    for listener in _listeners:
        listener.saves = False
        listener.end_if_stopped()  # or the wait would outlast a stop that others have obeyed
    try:
        yield
    finally:
        for listener in _listeners:
            listener.saves = True
