"""Errors of means and differences over images and seeds, held against many repetitions."""

import math

import numpy as np
import pytest
from scipy import stats

from vdp.comparison import statistics

REPETITIONS, IMAGES = 2000, 40


def crossed(rng, seeds, image_effects, *, seed_sd, noise_sd, mean=0.0):
    """[R, S, N] numbers y = mean + a_s + b_i + e_si of R repetitions."""
    shape = (len(image_effects), seeds, image_effects.shape[-1])
    a = seed_sd * rng.standard_normal((*shape[:2], 1))
    return mean + a + image_effects[:, None] + noise_sd * rng.standard_normal(shape)


@pytest.mark.parametrize("seeds", [(1, 1), (3, 3), (2, 5), (1, 4)])
@pytest.mark.parametrize("seed_sd", [0.0, 0.3])
def test_the_error_of_a_difference_is_its_spread_over_repetitions(seeds, seed_sd):
    rng = np.random.default_rng(0)
    images = 2.0 * rng.standard_normal((REPETITIONS, IMAGES))  # shared by both models
    of_one = 0.5 * rng.standard_normal((REPETITIONS, IMAGES))  # images that one finds easy
    how = dict(seed_sd=seed_sd if max(seeds) > 1 else 0.0, noise_sd=0.4)
    a = crossed(rng, seeds[0], images + of_one, mean=1.0, **how)
    b = crossed(rng, seeds[1], images, **how)
    found = [statistics.difference(*pair) for pair in zip(a, b, strict=True)]
    differences = np.array([estimate.mean for estimate in found])
    variance = np.mean([estimate.se**2 for estimate in found])
    assert differences.mean() == pytest.approx(1.0, abs=4 * differences.std() / REPETITIONS**0.5)
    # a variance that would come out below zero is 0, so that the mean can only be too large
    exact = seed_sd and seeds[0] > 1
    assert 0.93 < variance / differences.var() < (1.08 if exact else 1.25 if seeds[0] > 1 else 2.2)
    covered = np.mean([abs(e.mean - 1.0) < e.threshold for e in found])
    # two errors cover 95.4 %; with few degrees of freedom the approximation falls a little short
    assert covered > (0.92 if seeds in ((2, 5), (1, 4)) else 0.94)


def test_one_model_of_two_effects_has_the_variance_of_the_textbook():
    rng = np.random.default_rng(1)
    images = 2.0 * rng.standard_normal((REPETITIONS, IMAGES))
    values = crossed(rng, 4, images, seed_sd=0.5, noise_sd=1.0)
    found = [statistics.mean(one) for one in values]
    expected = 0.5**2 / 4 + 2.0**2 / IMAGES + 1.0**2 / (4 * IMAGES)
    assert np.mean([e.se**2 for e in found]) == pytest.approx(expected, rel=0.03)
    assert np.mean([e.over_seeds**2 for e in found]) == pytest.approx(0.5**2 / 4, rel=0.05)


def test_one_seed_is_the_paired_test():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 1, 30))
    found = statistics.difference(a, b)
    paired = stats.ttest_rel(a[0], b[0])
    assert found.mean / found.se == pytest.approx(paired.statistic)
    assert found.freedom == pytest.approx(paired.df)
    assert found.over_seeds is None


def test_few_seeds_need_more_than_two_errors():
    values = np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]])
    found = statistics.mean(np.repeat(values, 200, axis=1))
    assert found.freedom == pytest.approx(2, abs=0.1)
    assert found.threshold / found.se == pytest.approx(stats.t.ppf(stats.norm.cdf(2), 2), rel=0.02)
    many = statistics.mean(np.random.default_rng(0).standard_normal((1, 5000)))
    assert many.threshold / many.se == pytest.approx(2.0, abs=1e-3)


def test_without_images_errors_add_up():
    rng = np.random.default_rng(3)
    shared = 5 * rng.standard_normal(400)
    a, b = (shared + rng.standard_normal((3, 400)) for _ in range(2))
    alone = [
        statistics.of_summaries(list(x.mean(1)), [s.std(ddof=1) / 20 for s in x]) for x in (a, b)
    ]
    found, paired = statistics.unpaired(*alone), statistics.difference(a, b)
    assert found.mean == pytest.approx(paired.mean)
    assert found.over_images == pytest.approx(math.sqrt(2) * 5.1 / 20, rel=0.1)
    assert found.se > 4 * paired.se
    assert statistics.of_summaries([1.0], [None]).se is None
    assert not statistics.of_summaries([1.0], [None]).beyond


def test_a_single_seed_spreads_as_those_of_the_other_also_where_images_are_unknown():
    """Three seeds that differ, against one: as many errors as of the paired difference."""
    rng = np.random.default_rng(4)
    several = rng.standard_normal((3, 1)) + 0.01 * rng.standard_normal((3, 400))
    one = 0.01 * rng.standard_normal((1, 400))
    summaries = [
        statistics.of_summaries(list(x.mean(1)), [s.std(ddof=1) / 20 for s in x])
        for x in (several, one)
    ]
    paired = statistics.difference(several, one)
    for found in (statistics.unpaired(*summaries), statistics.unpaired(*summaries[::-1])):
        assert found.over_seeds == pytest.approx(paired.over_seeds, rel=1e-3)
        assert found.freedom == pytest.approx(paired.freedom, rel=1e-2)
    means = [statistics.mean(x) for x in (several, one)]
    assert statistics.unpaired(*means).over_seeds == pytest.approx(paired.over_seeds, rel=1e-3)


def test_degrees_of_freedom_are_satterthwaites():
    three, five = (
        statistics.Estimate(mean=0.0, over_images=1.0, freedom=freedom) for freedom in (3.0, 5.0)
    )
    assert statistics.unpaired(three, five).freedom == pytest.approx(2**2 / (1 / 3 + 1 / 5))
    assert statistics.of_summaries([0.0, 1.0, 2.0], [0.0] * 3).freedom == pytest.approx(2)
    found = statistics.unpaired(
        *(statistics.of_summaries([x, x + 1.0, x + 2.0], [1 / 3**0.5] * 3) for x in (0.0, 5.0))
    )  # parts of 1/3, for which his formula has 8 degrees of each, and the seeds have 2
    assert found.freedom == pytest.approx(4)


@pytest.mark.parametrize("seeds", [(2, 1), (3, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("seed_sd", [0.1, 0.2, 0.5])
def test_equal_models_differ_by_chance_as_rarely_as_is_said(seeds, seed_sd):
    """Also where seeds happen to agree, so that their variance is estimated near zero."""
    rng = np.random.default_rng(5)
    none = np.zeros((REPETITIONS, 120))
    arms = (crossed(rng, n, none, seed_sd=seed_sd, noise_sd=1.5) for n in seeds)
    found = [statistics.difference(*pair).beyond for pair in zip(*arms, strict=True)]
    nominal = 2 * stats.norm.sf(2)
    assert np.mean(found) < nominal + 3 * math.sqrt(nominal / REPETITIONS)


def test_one_image_has_no_error():
    found = statistics.difference(np.ones((2, 1)), np.zeros((1, 1)))
    assert (found.mean, found.se, found.threshold, found.beyond) == (1.0, None, None, False)


def test_equal_numbers_differ_by_nothing():
    found = statistics.difference(np.ones((2, 9)), np.ones((2, 9)))
    assert (found.mean, found.se, found.beyond) == (0.0, 0.0, False)
