"""Chains fitted to a table of errors: their bounds, their times, and the density they stand for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import filter_jit
from oracles import (
    MEAN,
    STD,
    gaussian_eps_fn,
    linear,
    mixture_eps_fn,
    smoothed_log_density,
    t_step_moments,
)

from vdp import draws
from vdp.diffusion import bounds, chains, paths, reverse
from vdp.diffusion.noise import AllSteps, Path

GAMMA_0, GAMMA_1 = -4.0, 8.0
GAMMA = linear(GAMMA_0, GAMMA_1)
SQUARED_ERRORS, DISCRETE = filter_jit(reverse.squared_errors), filter_jit(bounds.discrete)
Z = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)


def gaussian_errors(num=32, dims=2):
    """The table of the best denoiser of N(MEAN, STD^2): the variance of eps given y."""
    gammas = jnp.asarray(GAMMA(jnp.arange(num + 1) / num))
    a2, s2 = jax.nn.sigmoid(-gammas), jax.nn.sigmoid(gammas)
    square = a2 * STD**2 / (a2 * STD**2 + s2)
    return {"gamma": gammas, "square": jnp.tile(square[:, None], (1, dims))}


def bound(chain, num_steps, eps_fn, z, key=0):
    terms = DISCRETE(
        eps_fn, chain.gamma, z, jax.random.key(key), num_steps=num_steps, log_v=chain.log_v
    )
    return np.asarray(terms.value, np.float64)


@pytest.mark.parametrize("kind", ["calibrated", "optimised"])
def test_a_fitted_chain_of_gaussian_data_loses_nothing_by_few_steps(kind):
    errors, z = gaussian_errors(), jnp.repeat(Z, 4000, axis=0)
    chain = {
        "calibrated": lambda: chains.calibrated(GAMMA, errors, 3),  # 3 does not divide 32
        "optimised": lambda: chains.optimised(GAMMA, errors, 3, (2,)),
    }[kind]()
    values = bound(chain, 3, gaussian_eps_fn(), z).reshape(6, 4000)
    exact = smoothed_log_density(np.asarray(Z), GAMMA_0)
    error = values.std(1, ddof=1) / 4000**0.5
    assert np.all(np.abs(values.mean(1) - exact) < 5 * error + 5e-3)


def test_the_cheapest_stops_are_those_of_all_that_there_are():
    costs = jnp.asarray(np.random.default_rng(0).uniform(size=(8, 8)), jnp.float32)
    costs = jnp.where(jnp.triu(jnp.ones((8, 8)), 1) > 0, costs, jnp.inf)
    for num_steps in (1, 2, 3, 7):
        every = [(0, *inner, 7) for inner in itertools.combinations(range(1, 7), num_steps - 1)]
        price = lambda stops: sum(float(costs[i, j]) for i, j in itertools.pairwise(stops))
        assert tuple(chains.cheapest(costs, num_steps).tolist()) == min(every, key=price)


def test_a_step_costs_what_its_bound_loses():
    """Against the bound of an imperfect denoiser, at the widths that the costs are for."""
    eps_fn = gaussian_eps_fn(0.2, 0.9)
    z = MEAN + STD * draws.normal(jax.random.key(1), (20_000, 2))
    gammas, squares = SQUARED_ERRORS(eps_fn, GAMMA, z, jax.random.key(2), 3)
    errors = {"gamma": gammas, "square": squares.mean(1)}
    costs = chains.step_costs(errors, (2,))
    chain = chains.calibrated(GAMMA, errors, 3)
    noise = AllSteps(eps=draws.normal(jax.random.key(3), (20_000, 3, 2)))
    how = dict(num_steps=3, noise=noise, log_v=chain.log_v)
    lost = -DISCRETE(eps_fn, GAMMA, z, **how).parts["diffusion"]
    total = float(costs[0, 1] + costs[1, 2] + costs[2, 3])
    assert total == pytest.approx(float(lost.mean()), rel=0.02)
    shared = {"gamma": gammas, "square": errors["square"].mean(1, keepdims=True)}
    assert chains.step_costs(shared, (2,))[1, 2] == pytest.approx(float(costs[1, 2]), rel=0.02)


def test_optimised_times_are_worth_their_steps():
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4000, 2)), jnp.float32)
    gammas, squares = SQUARED_ERRORS(mixture_eps_fn, GAMMA, z, jax.random.key(4), 32)
    errors = {"gamma": gammas, "square": squares.mean(1)}
    values = [
        bound(chain, 4, mixture_eps_fn, z).mean()
        for chain in (
            chains.Chain(gamma=GAMMA),
            chains.calibrated(GAMMA, errors, 4),
            chains.optimised(GAMMA, errors, 4, (2,)),
        )
    ]
    assert values[0] + 0.5 < values[1] < values[2] - 0.01
    even = chains.optimised(GAMMA, errors, 32, (2,))  # nothing is left to choose
    np.testing.assert_allclose(even.log_v, chains.calibrated(GAMMA, errors, 32).log_v)


def test_errors_between_two_gammas_lie_on_a_line_of_logs():
    errors = {"gamma": jnp.array([0.0, 0.0, 2.0]), "square": jnp.array([[9.0], [1.0], [0.01]])}
    found = chains.errors_at(errors, jnp.array([-1.0, 0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found[:, 0], [1.0, 1.0, 0.1, 0.01, 0.01], rtol=1e-5)


def test_the_parameters_of_a_learned_chain_are_those_of_another_and_keep_its_ends():
    params = chains.as_learned(chains.Chain(gamma=GAMMA), 4, (2,))
    start = chains.learned(GAMMA, params)
    t = jnp.arange(5) / 4
    np.testing.assert_allclose(start.gamma(t), GAMMA(t), atol=1e-5)
    assert not start.log_v.any()
    moved = chains.learned(GAMMA, params | {"times": jnp.array([0.0, 1.0, -1.0, 0.5])})
    gammas = np.asarray(moved.gamma(t))
    assert (gammas[0], gammas[-1]) == (GAMMA_0, GAMMA_1)
    assert np.all(np.diff(gammas) > 0)
    bent = lambda t: GAMMA(jnp.asarray(t) ** 2)
    large = chains.as_learned(chains.Chain(gamma=bent), 4, (40, 40, 1))
    assert large["log_v"].shape == (4, 1, 1, 1)
    np.testing.assert_allclose(chains.learned(bent, large).gamma(t), bent(t), atol=1e-4)
    fitted = chains.optimised(GAMMA, gaussian_errors(), 4, (2,))
    again = chains.learned(GAMMA, chains.as_learned(fitted, 4, (2,)))
    np.testing.assert_allclose(again.gamma(t), fitted.gamma(t), atol=1e-5)


def test_weights_of_any_chain_average_to_its_density():
    """On Gaussian data every step is affine, so that the chain's moments are known."""
    params = {"log_v": jnp.array([[0.3], [0.9], [0.4]]), "times": jnp.array([0.5, -0.4, 0.0])}
    chain = chains.learned(GAMMA, params)
    z = jnp.tile(jnp.array([[0.2]]), (60_000, 1))
    path = Path(steps=draws.normal(jax.random.key(5), (len(z), 4, 1)))
    weigh = filter_jit(paths.log_weight)
    weights = weigh(gaussian_eps_fn(), chain.gamma, z, path, log_v=chain.log_v)
    mean, var = t_step_moments(chain.gamma, 3, log_v=np.asarray(chain.log_v[:, 0]))
    exact = np.exp(-0.5 * (0.2 - mean) ** 2 / var) / np.sqrt(2 * np.pi * var)
    each = np.exp(np.asarray(weights, np.float64))
    assert abs(each.mean() - exact) < 5 * each.std() / 60_000**0.5
    assert each.std() / 60_000**0.5 < 0.02 * exact
