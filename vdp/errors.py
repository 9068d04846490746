"""What is said to the person at the keyboard: exceptions, exit codes, and who raises them."""

import argparse
from typing import NoReturn

STOPPED = 143  # the exit code after SIGTERM, saved; schedulers then requeue


class UserError(Exception):
    """Something the user can mend; the message is one sentence that says what to do.

    `vdp.main` prints the message on stderr without a traceback and exits with code 2.
    """


class Interrupted(Exception):
    """SIGTERM came and everything is saved; `vdp.main` exits with code STOPPED."""


def choose_from(what: str, given, accepted) -> UserError:
    """Returns the error for a name outside a closed list, with the list."""
    listed = ", ".join(sorted(map(str, accepted))) or "none"
    return UserError(f"unknown {what} {str(given)!r}; accepted: {listed}")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, takes no abbreviations and keeps line breaks."""

    def __init__(self, **kwargs):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for what it cannot read."""
        raise UserError(f"{message}; see --help")
