"""The importance-weighted bound over K, of one set of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from vdp import draws
from vdp.metrics import convergence, likelihood
from vdp.types import Batch

NUM = 64


class Lognormal:
    """Weights exp(s n - s^2/2) of mean 1, n standard normal: log p(x) is 0."""

    weight_model = "exact"

    def __init__(self, spread):
        self.spread = spread

    def log_weight(self, params, stats, batch, rng, *, noise=None):
        return self.spread * draws.normal(rng, batch.label.shape) - 0.5 * self.spread**2


def batch_of(num):
    images = np.zeros((num, 1, 1, 1), np.uint8)
    return Batch(target=images, input=images, label=np.zeros(num, np.int32))


def terms(spread, *, batch=2000, num=NUM):
    args = (Lognormal(spread), {}, {}, batch_of(batch), jax.random.key(0))
    found = jax.jit(lambda: convergence.iwae_terms(*args, num_samples=num, chunk=8))()
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


def test_groups_are_disjoint_and_averaged():
    log_w = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    assert convergence.counts(6) == [1, 3, 6]
    assert convergence.counts(65) == [1, 2, 4, 8, 16, 32, 65]
    assert [convergence.counts(n) for n in (1, 2, 8)] == [[1], [1, 2], [1, 2, 4, 8]]
    bounds, sizes = convergence.over_counts(jnp.asarray(log_w))
    for column, k in enumerate((1, 3, 6)):
        groups = [log_w[start : start + k] for start in range(0, 6 - k + 1, k)]
        expected = np.mean([logsumexp(g, axis=0) - np.log(k) for g in groups], axis=0)
        np.testing.assert_allclose(bounds[:, column], expected, rtol=1e-5, atol=1e-6)
        weights = [np.exp(g) / np.exp(g).sum(0) for g in groups]
        expected = np.mean([1 / (w**2).sum(0) for w in weights], axis=0)
        np.testing.assert_allclose(sizes[:, column], expected, rtol=1e-5)


@pytest.mark.parametrize("num", [33, 65, 72])
def test_the_last_rise_is_about_what_is_missing_of_any_number_of_weights(num):
    """Of lognormal weights with E w = 1 the exact value is 0; the gap is minus the bound."""
    values = terms(2.0, batch=1000, num=num)["value"]
    rise, missing = (values[:, -1] - values[:, -2]).mean(), -values[:, -1].mean()
    assert 0.4 * missing < rise < 1.2 * missing


def test_the_last_row_is_the_estimate_of_that_key():
    found = terms(1.0, batch=5)
    args = (Lognormal(1.0), {}, {}, batch_of(5), jax.random.key(0))
    value, ess = likelihood.iwae_with_ess(*args, num_samples=NUM, chunk=8)
    np.testing.assert_allclose(found["value"][:, -1], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["ess"][:, -1], ess, rtol=1e-4)


def test_the_bound_rises_to_the_truth_and_every_k_has_its_own_expectation():
    """The bound of few weights, averaged over groups, is that of fresh ones: it is unbiased."""
    found = terms(1.0)["value"]
    rises = [convergence.difference(found[:, i + 1], found[:, i]) for i in range(6)]
    assert all(rise["mean"] > 3 * rise["se"] for rise in rises)
    first = likelihood.mean_and_error(found[:, 0])
    assert abs(first["mean"] + 0.5) < 5 * first["se"], "K=1: minus half the variance"
    fresh = np.random.default_rng(1).normal(size=(8, 50_000)) - 0.5
    of_eight = likelihood.mean_and_error(logsumexp(fresh, axis=0) - np.log(8))
    found_8 = likelihood.mean_and_error(found[:, 3])
    assert abs(found_8["mean"] - of_eight["mean"]) < 5 * np.hypot(found_8["se"], of_eight["se"])
    last = likelihood.mean_and_error(found[:, -1])
    delta = -(np.e - 1) / (2 * NUM)  # half the relative variance of the mean weight
    assert last["mean"] == pytest.approx(delta, abs=0.005 + 5 * last["se"])
    assert rises[-1]["se"] < 0.5 * last["se"] * np.sqrt(2), "paired by image"
