"""What a command writes to: a terminal, a log or a pipe, in whatever encoding, closed or not."""

import contextlib
import io
import logging
import os
import signal
import sys

CLOSED = 128 + signal.SIGPIPE  # the exit code where nobody reads any more, as under `| head`


def prepare() -> None:
    """For the process of a command: what must not be written is not.

    What was closed before the start leads nowhere: a file that is opened later would get its
    number, and what is said would stand in it. A character that the encoding lacks is written as
    ?, in place of an error. Reads that go on after one of them has failed, and been said, are not
    reported by the threads they end in.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    report = sys.unraisablehook

    def report_others(unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":  # Orbax's, of an array's read
            report(unraisable)

    sys.unraisablehook = report_others
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def close() -> int:
    """After a BrokenPipeError: nothing more is said, at exit either; returns the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # None, or no file
            stream.flush()
            continue
        with contextlib.suppress(AttributeError, OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    return CLOSED
