"""What grids and weights decide of densities that are known, and what they leave open."""

import numpy as np
import pytest

from vdp.checks import densities
from vdp.checks.densities import Grid, Weighted

RNG = np.random.default_rng(0)


def gaussian(z, mean=0.0, std=1.0):
    return np.exp(-(((z - mean) / std) ** 2).sum(-1) / 2) / (2 * np.pi * std**2)


def on_grid(*, std=1.0, mass=1.0, shift=0.0, points=81, samples_std=None):
    samples = RNG.normal(scale=samples_std or std, size=(4000, 2)) + shift
    z, cell = densities.grid_around(samples, points)
    return Grid(mass * gaussian(z, std=std), z, cell, samples)


def by_weights(*, mass=1.0, shift=0.0, noise=0.3, num=20_000):
    """Weights of a Gaussian under a broader one, times noise whose mean is one."""
    z = 1.5 * RNG.normal(size=(num, 2))
    log_noise = noise * RNG.normal(size=num) - noise**2 / 2
    log_weights = np.log(mass * gaussian(z) / gaussian(z, std=1.5)) + log_noise
    return Weighted(z, log_weights, RNG.normal(size=(4000, 2)) + shift)


def test_a_grid_that_is_too_coarse_decides_nothing_by_its_moments():
    """A narrow spike between the points: mass and moments of the grid are those of chance."""
    spike = on_grid(std=0.02, samples_std=1.0, points=41)
    for held, said in (
        densities.mass_on_grid(spike.density, spike.cell),
        densities.moments_on_grid(spike),
    ):
        assert held is None, said
        assert "too coarse" in said


@pytest.mark.parametrize(
    ("fields", "mass", "moments"),
    [({}, True, True), ({"mass": 1.3}, False, True), ({"shift": 0.3}, True, False)],
)
@pytest.mark.parametrize("make", [on_grid, by_weights])
def test_masses_and_moments_of_a_known_density(make, fields, mass, moments):
    given = make(**fields)
    if make is on_grid:
        verdicts = (
            densities.mass_on_grid(given.density, given.cell),
            densities.moments_on_grid(given),
        )
    else:
        verdicts = densities.mass_by_weights(given), densities.moments_by_weights(given)
    assert [held for held, _ in verdicts] == [mass, moments], verdicts
    assert all("allowed" in said for _, said in verdicts), "by how much it may be off is told"


def test_the_error_of_a_weighted_integral_is_its_spread():
    errors = []
    masses = [np.exp(by_weights(num=2000).log_weights).mean() for _ in range(200)]
    for weighted in (by_weights(num=2000) for _ in range(5)):
        said = densities.mass_by_weights(weighted)[1]
        errors.append(float(said.split("± ")[1].split(" (")[0]))
    np.testing.assert_allclose(np.mean(errors), np.std(masses), rtol=0.25)


def test_weights_that_lie_on_few_draws_decide_nothing():
    heavy = by_weights(noise=4.0)
    for held, said in (densities.mass_by_weights(heavy), densities.moments_by_weights(heavy)):
        assert held is None
        assert "too few" in said


def test_errors_that_would_let_half_of_the_mass_pass_decide_nothing():
    """Hundreds of effective draws of 20,000: five errors of the integral are a quarter of it."""
    heavy = by_weights(noise=1.9, mass=1.3)
    weights = np.exp(heavy.log_weights)
    assert weights.sum() ** 2 / np.sum(weights**2) > densities.FEWEST
    assert densities.mass_by_weights(heavy)[0] is None
    assert densities.moments_by_weights(heavy)[0] is None


def test_what_is_no_density_is_not_left_open():
    weighted = by_weights()
    for log_weight in (-np.inf, np.inf, np.nan):
        wrong = weighted._replace(log_weights=np.full(len(weighted.points), log_weight))
        with np.errstate(invalid="ignore"):
            assert densities.mass_by_weights(wrong)[0] is False
