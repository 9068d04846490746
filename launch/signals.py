"""Signals between a launcher and the processes it starts: only SIGTERM stops, and it saves."""

import contextlib
import ctypes
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # before a fork, not after it


def in_child() -> Callable[[], None]:
    """What a new process does before its program starts, as `preexec_fn` of this one's Popen.

    Ctrl-C and Slurm's warnings reach all processes, but only SIGTERM saves; on Linux it comes as
    well when the launcher dies, of kill -9 too.
    """
    launcher = os.getpid()

    def prepare() -> None:
        for name in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(name, signal.SIG_IGN)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != launcher:  # it died before it could be asked for
                os.kill(os.getpid(), signal.SIGTERM)

    return prepare


@contextlib.contextmanager
def stopping() -> Iterator[types.SimpleNamespace]:
    """While entered, SIGTERM, Ctrl-C and a closed terminal stop `.child`, which saves.

    A second Ctrl-C kills it, as it would end `vdp.main` at once.
    """
    state = types.SimpleNamespace(requested=False, child=None)
    interrupts = 0

    def receive(number: int, frame: types.FrameType | None) -> None:
        nonlocal interrupts
        state.requested = True
        interrupts += number == signal.SIGINT
        if state.child:
            (state.child.kill if interrupts > 1 else state.child.stop)()

    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    heard = [name for name in names if signal.getsignal(name) != signal.SIG_IGN]  # as under nohup
    previous = {name: signal.signal(name, receive) for name in heard}
    try:
        yield state
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


def exit_code(returncode: int) -> int:
    """The exit code of a child as a shell counts: 128 + n where signal n ended it."""
    return returncode if returncode >= 0 else 128 - returncode
