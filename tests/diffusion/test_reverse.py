"""The widths of reverse steps: with the best of them few steps lose nothing on Gaussian data."""

import functools

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
)

from vdp.diffusion import bounds, paths, process, reverse, samplers, times
from vdp.diffusion.noise import AllSteps, Path, Quantiles, Times

GAMMA_0, GAMMA_1 = -4.0, 8.0
GAMMA = linear(GAMMA_0, GAMMA_1)
Z = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)

# jitted as a whole: otherwise every operation is compiled by itself
ANCESTRAL, DISCRETE = filter_jit(samplers.ancestral), filter_jit(bounds.discrete)
LOG_WEIGHT = filter_jit(paths.log_weight)


@functools.cache
def exact_log_v(num_steps, dims=2):
    """Widths of the best denoiser of N(MEAN, STD^2), whose error is the variance of eps given y."""
    gammas = jnp.asarray(GAMMA(jnp.arange(num_steps + 1) / num_steps))
    a2, s2 = jax.nn.sigmoid(-gammas[1:]), jax.nn.sigmoid(gammas[1:])
    errors = a2 * STD**2 / (a2 * STD**2 + s2)
    return reverse.best(jnp.tile(errors[:, None], (1, dims)), gammas)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_few_steps_with_the_best_widths_have_the_bound_of_infinitely_many(num_steps):
    z = jnp.repeat(Z, 4000, axis=0)
    how = dict(num_steps=num_steps, log_v=exact_log_v(num_steps))
    terms = DISCRETE(gaussian_eps_fn(), GAMMA, z, jax.random.key(0), **how)
    values = np.asarray(terms.value, np.float64).reshape(6, 4000)
    exact = smoothed_log_density(np.asarray(Z), GAMMA_0)
    error = values.std(1, ddof=1) / 4000**0.5
    assert np.all(np.abs(values.mean(1) - exact) < 5 * error + 5e-3)  # gamma_1 is nearly N(0, 1)
    fixed = DISCRETE(gaussian_eps_fn(), GAMMA, z, jax.random.key(0), num_steps=num_steps)
    assert fixed.value.mean() < values.mean() - 0.5


def test_a_chain_of_the_best_widths_draws_the_data():
    options = dict(num_steps=2, log_v=exact_log_v(2))
    y_0, _ = ANCESTRAL(gaussian_eps_fn(), GAMMA, jax.random.key(1), (60_000, 2), **options)
    a0, s0 = (float(f(jnp.float32(GAMMA_0))) for f in (process.alpha, process.sigma))
    assert float(y_0.mean()) == pytest.approx(a0 * MEAN, abs=0.01)
    assert float(y_0.std()) == pytest.approx((a0**2 * STD**2 + s0**2) ** 0.5, rel=0.01)
    narrow, _ = ANCESTRAL(gaussian_eps_fn(), GAMMA, jax.random.key(1), (60_000, 2), num_steps=2)
    assert float(narrow.std()) < 0.8 * float(y_0.std())
    cold, _ = ANCESTRAL(
        gaussian_eps_fn(), GAMMA, jax.random.key(1), (6000, 2), temperature=0.5, **options
    )
    assert float(cold.std()) < float(y_0.std())


def test_widths_of_zero_are_those_of_q():
    path = Path(steps=jax.random.normal(jax.random.key(2), (6, 5, 2)))
    none = jnp.zeros((4, 1))
    args = gaussian_eps_fn(), GAMMA, Z
    np.testing.assert_allclose(
        LOG_WEIGHT(*args, path, log_v=none), LOG_WEIGHT(*args, path), atol=2e-5
    )
    noise = AllSteps(eps=jax.random.normal(jax.random.key(3), (6, 4, 2)))
    found = [
        DISCRETE(*args, num_steps=4, noise=noise, **how).value
        for how in ({}, {"log_v": none}, {"log_v": none, "sequential": True})
    ]
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)
    np.testing.assert_allclose(found[2], found[0], atol=2e-5)


def test_times_of_any_kind_estimate_the_sum_over_all_steps():
    """One draw in every stratum, quantiles of the steps' importance, or one step after another."""
    log_v, num = jnp.array([[0.4, -0.3], [0.1, 0.9], [-0.2, 0.3]]), 3
    how = dict(num_steps=num, log_v=log_v)
    eps = jax.random.normal(jax.random.key(12), (6, num, 2))
    args = gaussian_eps_fn(0.2, 0.9), GAMMA, Z
    whole = DISCRETE(*args, noise=AllSteps(eps=eps), **how).parts["diffusion"]
    one_by_one = DISCRETE(*args, noise=AllSteps(eps=eps), sequential=True, **how)
    np.testing.assert_allclose(one_by_one.parts["diffusion"], whole, rtol=1e-4)
    t = jnp.tile((jnp.arange(num) + 0.5) / num, (6, 1))
    strata = DISCRETE(*args, noise=Times(t=t, eps=eps), **how).parts["diffusion"]
    np.testing.assert_allclose(strata, whole, rtol=1e-4)
    gammas = jnp.asarray(GAMMA(jnp.arange(num + 1) / num))
    p = np.asarray(times.step_probabilities(gammas), np.float64)
    edges = np.concatenate([[0], np.cumsum(p)])
    total = 0.0
    for i in range(num):
        u = jnp.full((6, 1), (edges[i] + edges[i + 1]) / 2, jnp.float32)
        noise = Quantiles(u=u, eps=eps[:, i : i + 1])
        total += p[i] * DISCRETE(*args, noise=noise, **how).parts["diffusion"]
    np.testing.assert_allclose(total, whole, rtol=1e-4)


@pytest.mark.parametrize("log_v", [jnp.array([[0.4, -0.3], [0.1, 0.9], [-0.2, 0.3]]),
                                   jnp.array([[0.5], [0.2], [0.8]])])  # fmt: skip
def test_the_mean_path_weight_is_the_bound_of_the_same_widths(log_v):
    z = jnp.repeat(Z[:2], 20_000, axis=0)
    path = Path(steps=jax.random.normal(jax.random.key(4), (len(z), 4, 2)))
    weights = LOG_WEIGHT(mixture_eps_fn, GAMMA, z, path, log_v=log_v)
    bound = DISCRETE(mixture_eps_fn, GAMMA, z, jax.random.key(5), num_steps=3, log_v=log_v).value
    for one, other in zip(weights.reshape(2, -1), bound.reshape(2, -1), strict=True):
        error = np.hypot(np.std(one), np.std(other)) / 20_000**0.5
        assert abs(float(one.mean() - other.mean())) < 5 * error


def test_path_weights_average_to_the_density_of_what_is_sampled():
    log_v = jnp.array([[0.8, 0.5], [0.6, 0.4]])
    num = 60_000
    path = Path(steps=jax.random.normal(jax.random.key(6), (num, 3, 2)))
    z = jnp.tile(jnp.array([[1.0, 0.3]]), (num, 1))
    weights = LOG_WEIGHT(mixture_eps_fn, GAMMA, z, path, log_v=log_v)
    density = float(jnp.exp(jax.nn.logsumexp(weights) - np.log(num)))
    error = float(jnp.std(jnp.exp(weights))) / num**0.5
    y_0, _ = ANCESTRAL(
        mixture_eps_fn, GAMMA, jax.random.key(7), (400_000, 2), num_steps=2, log_v=log_v
    )
    var = float(jnp.exp(GAMMA_0))
    away = jnp.sum(jnp.square(y_0 / process.alpha(jnp.float32(GAMMA_0)) - z[:1]), axis=1)
    kernel = jnp.exp(-0.5 * away / var) / (2 * jnp.pi * var)
    found, spread = float(kernel.mean()), float(kernel.std()) / 400_000**0.5
    assert abs(density - found) < 5 * np.hypot(error, spread)
    assert error < 0.05 * density
    assert spread < 0.05 * density


def test_squared_errors_are_those_of_the_denoiser():
    """Their mean over draws is the variance of eps given y, for data that the denoiser is for."""
    z = MEAN + STD * jax.random.normal(jax.random.key(8), (20_000, 2))
    errors = filter_jit(reverse.squared_errors)
    gammas, squares = errors(gaussian_eps_fn(), GAMMA, z, jax.random.key(11), 3)
    np.testing.assert_allclose(gammas, GAMMA(jnp.arange(4) / 3))
    a2, s2 = jax.nn.sigmoid(-gammas), jax.nn.sigmoid(gammas)
    exact = a2 * STD**2 / (a2 * STD**2 + s2)
    np.testing.assert_allclose(squares.mean((1, 2)), exact, rtol=0.03)


def test_no_other_widths_have_a_higher_bound():
    z = MEAN + STD * jax.random.normal(jax.random.key(9), (4000, 2))
    noise = AllSteps(eps=jax.random.normal(jax.random.key(10), (4000, 3, 2)))
    worse_eps_fn = gaussian_eps_fn(0.2, 0.9)
    gammas = jnp.asarray(GAMMA(jnp.arange(4) / 3))

    @jax.jit
    def error(i):
        gamma, eps = jnp.full(len(z), gammas[i + 1]), noise.eps[:, i]
        return jnp.square(eps - worse_eps_fn(process.diffuse(z, gamma, eps), gamma)).mean(0)

    best = reverse.best(jnp.stack([error(i) for i in range(3)]), gammas)

    @jax.jit
    def value(log_v):
        terms = bounds.discrete(worse_eps_fn, GAMMA, z, num_steps=3, noise=noise, log_v=log_v)
        return terms.value.mean()

    assert float(jnp.abs(jax.grad(value)(best)).max()) < 1e-4
    assert value(best) > max(value(best + 0.2), value(best - 0.2), value(jnp.zeros((3, 2))))
