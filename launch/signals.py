"""Signals between a launcher and the processes it starts: only SIGTERM stops, and it saves."""

import contextlib
import signal
import types
from collections.abc import Iterator


def only_sigterm_stops() -> None:
    """In the child: Ctrl-C and Slurm's warnings reach all processes, but only SIGTERM saves."""
    for name in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)


@contextlib.contextmanager
def stopping() -> Iterator[types.SimpleNamespace]:
    """While entered, SIGTERM, Ctrl-C and a closed terminal stop `.child`, which saves."""
    state = types.SimpleNamespace(requested=False, child=None)

    def receive(*_):
        state.requested = True
        if state.child:
            state.child.stop()

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
