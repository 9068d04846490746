"""How far a rate is from its bound, in words of numbers: no coder is needed for it."""

import numpy as np
import pytest

from vdp.run.rates import gap


def test_the_gap_is_a_share_of_the_bound_with_the_error_of_its_batches():
    bounds = np.array([10.0, 20.0, 30.0, 40.0, 50.0])  # bits of images, coded two at a time
    bits = np.array([33.0, 69.0, 54.0])
    apart = bits - np.array([30.0, 70.0, 50.0])
    share, error = gap(bits, bounds, 2)
    assert share == pytest.approx(6 / 150)
    assert error == pytest.approx(apart.std(ddof=1) * 3**0.5 / 150)
    assert gap(bits[:1], bounds[:2], 2) == (pytest.approx(0.1), None)
