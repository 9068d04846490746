"""Parameters of tests that take long: all but a few are run with the slow tests alone."""

from collections.abc import Iterable

import pytest


def slow_but(names: Iterable[str], *quick: str) -> list:
    """The names as parameters, all under the slow mark but the quick ones."""
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names]
