"""What is said to the person at the keyboard: exceptions, exit codes, and who raises them."""

import argparse
import difflib
from collections.abc import Iterable
from typing import NoReturn

STOPPED = 143  # the exit code after SIGTERM, saved; schedulers then requeue


class UserError(ValueError):
    """Something the user can mend; the message is one sentence that says what to do.

    `vdp.main` prints the message on stderr without a traceback and exits with code 2. In Python it
    is a ValueError, as what it says is that a value cannot be meant.
    """


class Fault(Exception):
    """A component or a config of the user's failed; the message is one sentence that names it.

    `vdp.main` prints the sentence, then the traceback of the cause, and exits with code 1.
    """


class Interrupted(Exception):
    """SIGTERM came and everything is saved; `vdp.main` exits with code STOPPED."""


def choose_from(what: str, given: object, accepted: Iterable, near: Iterable = ()) -> UserError:
    """Returns the error for a name outside a closed list, with the list and the nearest name.

    Args:
      what: the kind of name.
      given: what was asked for.
      accepted: all that can be asked for there.
      near: names of other places, one of which may have been meant.
    """
    listed = ", ".join(sorted(map(str, accepted))) or "none"
    hint = did_you_mean(given, [*accepted, *near])
    return UserError(f"unknown {what} {str(given)!r}{hint}; accepted: {listed}")


def did_you_mean(given: object, names: Iterable) -> str:
    """The nearest of `names` in parentheses, to set behind `given`; empty where none is near.

    Of a dotted name the last part decides, and the first of several such names is taken.
    """
    last = lambda name: str(name).rpartition(".")[2]
    by_last = {last(name): name for name in reversed(list(names))}
    near = difflib.get_close_matches(last(given), by_last, n=1)
    return f" (did you mean {by_last[near[0]]}?)" if near else ""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, takes no abbreviations and keeps line breaks."""

    def __init__(self, **kwargs):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for what it cannot read."""
        raise UserError(f"{message}; see --help")
