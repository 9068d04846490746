"""Parameters whose tests take long, and are run only where the slow ones are."""

from collections.abc import Iterable

import pytest


def slow_but(names: Iterable[str], *quick: str) -> list:
    """The names as parameters, all under the slow mark but the quick ones."""
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names]
