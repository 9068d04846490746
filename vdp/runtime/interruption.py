"""Where work is cut, a command that was asked to stop ends here: one error, one line, exit 143."""

import jax

from vdp.errors import Interrupted
from vdp.runtime import parallel, signals

CONTINUES = "; what is finished is saved, the same command continues"


def requested() -> bool:
    """Whether a signal asks any of the processes to stop: the same answer in all of them.

    All processes have to ask at the same places; never where vdp is a library.
    """
    return signals.listening() and parallel.agreed(signals.reason() is not None)


def stopped(where: str = CONTINUES) -> Interrupted:
    """What to raise when all is saved.

    Args:
      where: follows the reason in the line for the person: where it stopped, what is saved.
    """
    return Interrupted(f"stopped by {signals.reason() or 'SIGTERM'}{where}")


def check(where: str = CONTINUES) -> None:
    """Raises Interrupted where it is `requested`; `where` is as of `stopped`."""
    if requested():
        raise stopped(where)


def check_alone() -> None:
    """As `check`, where several processes need not be at the same place: of one process alone."""
    if jax.process_count() == 1:
        check()
