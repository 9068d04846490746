"""What is said to the person at the keyboard: exceptions, exit codes, and who raises them."""

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import Any, NoReturn

STOPPED = 143  # the exit code after SIGTERM, saved; schedulers then requeue
SHOWN = 80  # characters of a value in a message
UNEXPECTED = (Exception, SystemExit, KeyboardInterrupt)  # all that code of the user's may end with


class UserError(ValueError):
    """Something the user can mend; the message is one sentence that says what to do.

    `vdp.main` prints the message on stderr without a traceback and exits with code 2. In Python it
    is a ValueError, as what it says is that a value cannot be meant.

    Args:
      sentence: what to do; line breaks, as in names of the user's, become spaces.
    """

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.splitlines()))


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
    return UserError(f"unknown {what} {shown(str(given))}{hint}; accepted: {listed}")


def did_you_mean(given: object, names: Iterable) -> str:
    """The nearest of `names` in parentheses, to set behind `given`; empty where none is near.

    Of a dotted name the last part decides, and the first of several such names is taken. Where none
    is spelled alike, the only one that begins with what is given is near: `val` of `validation`.
    """
    last = lambda name: str(name).rpartition(".")[2]
    by_last = {last(name): name for name in reversed(list(names))}
    begun = [name for name in by_last if len(last(given)) > 1 and name.startswith(last(given))]
    near = difflib.get_close_matches(last(given), by_last, n=1) or begun * (len(begun) == 1)
    return f" (did you mean {by_last[near[0]]}?)" if near else ""


def shown(value: Any) -> str:
    """The value for a message: in one line, and cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of too many digits, or a class of the user's
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def with_flags(sentence: str) -> str:
    """A message as it is said at the command line, where fields and the workdir are flags.

    Messages are written in words that hold in Python too: "config.data.levels=256", "another
    workdir".
    """
    fields = re.sub(r"(?<![\w.-])config(\.[\w/]+)+=", r"--\g<0>", sentence)
    return fields.replace("another workdir", "another --workdir")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut to 200 characters; empty where it has none."""
    return (str(error).splitlines() or [""])[0][:200]


def whole_number(text: str) -> int:
    """The integer of a text of ASCII digits, with a minus or without; ValueError for all others.

    `int` reads digits of every script, spaces and underscores as well.
    """
    if not re.fullmatch(r"-?[0-9]{1,1000}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, takes no abbreviations and keeps line breaks."""

    def __init__(self, **kwargs: Any):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for what it cannot read."""
        raise UserError(f"{message}; see --help")
