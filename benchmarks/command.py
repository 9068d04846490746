"""How a benchmark ends: with 0, or for what cannot be measured with one sentence and 2."""

import sys
from collections.abc import Callable

from vdp.errors import UserError


def run(main: Callable[[], int | None]) -> None:
    """Runs a benchmark and leaves the process.

    Args:
      main: of the benchmark.
    """
    try:
        sys.exit(main())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
