"""Numbers as people read them."""

import pytest

from vdp.runtime.numbers import with_error


@pytest.mark.parametrize(
    ("mean", "error", "spec", "said"),
    [
        (-83.9, 0.667, ".2f", "-83.90 ± 0.67"),
        (-83.9, None, ".2f", "-83.90"),
        (0.48, 0.27, "+.2f", "+0.48 ± 0.27"),
        (12345.6, 12.3, ",.0f", "12,346 ± 12"),
        (0.0012345, 0.0001, ".4g", "0.001234 ± 0.0001"),
    ],
)
def test_a_mean_stands_before_its_error(mean, error, spec, said):
    assert with_error(mean, error, spec) == said
