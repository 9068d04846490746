"""FID of infinitely many samples, where it is known."""

import numpy as np
import pytest

from vdp.metrics import fid
from vdp.metrics import fid_extrapolation as extrapolation

MEAN, SCALES = np.full(4, 0.3), np.linspace(0.5, 1.5, 4)
STANDARD = fid.Statistics(mean=np.zeros(4), covariance=np.eye(4), num=10)
EXACT = float(MEAN @ MEAN + np.sum((SCALES - 1) ** 2))


def draws(num, seed):
    return MEAN + SCALES * np.random.default_rng(seed).normal(size=(num, 4))


def test_few_samples_lead_to_the_distance_of_the_distributions():
    tables = [extrapolation.rows(draws(240, seed), STANDARD) for seed in range(150)]
    values = np.array([extrapolation.intercept(table) for table in tables])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - EXACT) < 3 * error
    of_fewest = np.mean([table[0]["mean"] for table in tables])
    assert of_fewest - EXACT > 8 * error, "what is extrapolated is far from that"
    found = [extrapolation.extrapolated(draws(240, seed), STANDARD) for seed in range(15)]
    means, errors = ([entry["extrapolated"][name] for entry in found] for name in ("mean", "se"))
    np.testing.assert_array_equal(means, values[:15])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(values.std(), rel=0.3)


@pytest.mark.parametrize(("num", "size"), [(240, 24), (239, 12)])
def test_the_error_is_right_where_a_tenth_is_no_whole_number(num, size):
    """Of a mean, whose error is known: 1/sqrt(num)."""
    x = np.random.default_rng(0).normal(size=(4000, num))
    blocks = x[:, : 10 * size].reshape(len(x), 10, size).sum(-1)
    without = (x.sum(-1)[:, None] - blocks) / (num - size)
    squared = [extrapolation._error(list(values), num, size) ** 2 for values in without]
    assert np.mean(squared) == pytest.approx(1 / num, rel=0.03)


def test_rows_are_of_disjoint_subsets():
    x = draws(250, 0)
    rows = extrapolation.rows(x, STANDARD)
    assert [(row["num"], row["subsets"]) for row in rows] == [(62, 4), (83, 3), (125, 2), (250, 1)]
    halves = [fid.frechet_distance(fid.statistics(x[i::2]), STANDARD) for i in range(2)]
    assert rows[2]["mean"] == pytest.approx(np.mean(halves))
    assert rows[2]["sd"] == pytest.approx(abs(halves[0] - halves[1]) / np.sqrt(2))
    assert rows[3]["mean"] == fid.frechet_distance(fid.statistics(x), STANDARD)
    assert rows[3]["sd"] is None


def test_a_line_over_one_over_n_is_found_exactly():
    rows = [{"num": n, "mean": 7 + 30 / n, "sd": None, "subsets": 1} for n in (10, 20, 50)]
    assert extrapolation.intercept(rows) == pytest.approx(7)


@pytest.mark.parametrize(("num", "dims"), [(119, 4), (200, 50)])
def test_too_few_samples_are_not_extrapolated(num, dims):
    x = np.random.default_rng(0).normal(size=(num, dims))
    reference = fid.Statistics(mean=np.zeros(dims), covariance=np.eye(dims), num=10)
    found = extrapolation.extrapolated(x, reference)
    assert len(found["rows"]) == 4
    assert found["extrapolated"] is None
    assert extrapolation.extrapolated(x[:7], reference) == dict(
        rows=[], extrapolated=None, bias=None
    )
