"""The exceptions that are meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend; the message is one sentence that says what to do.

    `vdp.main` prints the message on stderr without a traceback and exits with code 2.
    """


class Interrupted(Exception):
    """SIGTERM came and everything is saved; `vdp.main` exits with code 143."""


def choose_from(what: str, given, accepted) -> UserError:
    """Returns the error for a name outside a closed list, with the list."""
    listed = ", ".join(sorted(map(str, accepted))) or "none"
    return UserError(f"unknown {what} {str(given)!r}; accepted: {listed}")
