"""Densities and divergences against independent implementations and exact sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from vdp import dists, draws


def random_normals(seed, shape=(4, 3)):
    a, b, c, d = draws.normal(jax.random.key(seed), (4, *shape))
    return dists.Normal(a, b), dists.Normal(c, 0.5 * d)


def test_normal_log_prob_and_entropy_match_scipy():
    q, _ = random_normals(0)
    z = q.sample(draws.normal(jax.random.key(1), (4, 3)))
    reference = stats.norm(np.asarray(q.mean), np.exp(np.asarray(q.log_var) / 2))
    np.testing.assert_allclose(q.log_prob(z), reference.logpdf(np.asarray(z)).sum(1), rtol=1e-5)
    np.testing.assert_allclose(q.entropy(), reference.entropy().sum(1), rtol=1e-5)


def test_kl_is_the_mean_log_ratio():
    q, p = random_normals(2)
    eps = draws.normal(jax.random.key(3), (20_000, 4, 3))
    ratios = jax.vmap(lambda e: q.log_prob(q.sample(e)) - p.log_prob(q.sample(e)))(eps)
    error = ratios.std(0) / np.sqrt(len(ratios))
    assert np.all(np.abs(ratios.mean(0) - q.kl(p)) < 5 * error)
    np.testing.assert_allclose(q.kl(q), 0, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_discretized_logistic_masses_sum_to_one(levels):
    x = jnp.arange(levels)[:, None, None]
    mean = jnp.linspace(-1.6, 1.6, 9)[None, :, None]
    log_scale = jnp.linspace(-8, 1, 7)[None, None, :]
    log_mass = dists.discretized_logistic_log_prob(x, mean, log_scale, levels)
    assert jnp.all(jnp.isfinite(log_mass))
    np.testing.assert_allclose(jnp.exp(log_mass).sum(0), 1.0, atol=2e-5)


def test_discretized_logistic_matches_scipy_bins():
    levels, mean, scale = 17, 0.2, 0.3
    edges = 2 * (np.arange(levels + 1) - 0.5) / (levels - 1) - 1
    cdf = stats.logistic(mean, scale).cdf(edges)
    cdf[0], cdf[-1] = 0, 1
    found = dists.discretized_logistic_log_prob(
        jnp.arange(levels), jnp.float32(mean), jnp.log(scale), levels
    )
    np.testing.assert_allclose(jnp.exp(found), np.diff(cdf), rtol=2e-5)
    expected_level = (np.arange(levels) * np.diff(cdf)).sum() / (levels - 1)
    mean_level = dists.discretized_mean(jax.nn.sigmoid, jnp.full(1, mean), jnp.log(scale), levels)
    np.testing.assert_allclose(mean_level, expected_level, rtol=1e-5)


def test_discretized_logistic_far_from_the_mean_has_a_gradient():
    """A clamped or fallback form loses it there, and training with it."""

    def log_mass(mean):
        return dists.discretized_logistic_log_prob(jnp.uint8(200), mean, jnp.float32(-7.0), 256)

    value, slope = jax.value_and_grad(log_mass)(jnp.float32(-0.9))
    assert jnp.isfinite(value)
    np.testing.assert_allclose(slope, np.exp(7.0), rtol=1e-3)


@pytest.mark.parametrize("log_scale", [-8.0, -4.6, -1.0])
def test_a_discretized_normal_has_its_gradient_in_the_far_tail(log_scale):
    """In float64: d/dmean log Phi((edge - mean) / scale) of the lowest level."""
    edge, mean, scale = -1 + 1 / 255, np.float32(0.9), np.exp(np.float64(log_scale))

    def log_mass(mean):
        return dists.discretized_normal_log_prob(jnp.uint8(0), mean, jnp.float32(log_scale), 256)

    value, slope = jax.value_and_grad(log_mass)(jnp.float32(mean))
    z = (edge - np.float64(mean)) / scale
    np.testing.assert_allclose(value, special.log_ndtr(z), rtol=1e-4)
    expected = -np.exp(stats.norm.logpdf(z) - special.log_ndtr(z)) / scale
    np.testing.assert_allclose(slope, expected, rtol=1e-3)


def test_the_tail_of_a_normal_meets_its_middle():
    x = jnp.linspace(2 * dists.TAIL, 3, 400)
    slope = jax.vmap(jax.grad(dists.normal_log_cdf))(x)
    x = np.asarray(x, np.float64)
    found = dists.normal_log_cdf(jnp.float32(x))
    np.testing.assert_allclose(found, special.log_ndtr(x), rtol=1e-5, atol=1e-7)
    exact = np.exp(stats.norm.logpdf(x) - special.log_ndtr(x))
    np.testing.assert_allclose(slope, exact, rtol=1e-4)


def test_bernoulli_at_extreme_logits():
    logits = jnp.array([-100.0, 100.0, 0.0])
    np.testing.assert_allclose(
        dists.bernoulli_log_prob(logits, jnp.array([0, 1, 1])), [0, 0, -np.log(2)], atol=1e-6
    )
    np.testing.assert_allclose(dists.bernoulli_log_prob(logits[:2], jnp.array([1, 0])), -100)
