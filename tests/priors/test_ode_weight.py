"""Weights by the density of a probability flow that is known: with v = 0 it is the identity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.dists import Normal

SPEC = {
    "name": "vdm", "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1},
    "parameterization": "v", "bound": "ode", "ode_steps": 2,
    "schedule": {"name": "linear", "gamma_0": 0.0, "gamma_1": 3.0},
}  # fmt: skip
NUM = 20_000


@pytest.mark.parametrize(("mean", "log_var"), [(0.4, 1.5), (-0.8, 1.2)])
def test_the_weight_of_a_latent_averages_to_one_over_its_posterior(mean, log_var):
    """It is r(z)/q(z), and bounded for a q that is wider than r, whose variance is 3 here."""
    prior = build.build("prior", SPEC)
    params, stats = started(prior, jax.random.key(0), (1,))
    q = Normal(jnp.full((NUM, 1), mean), jnp.full((NUM, 1), log_var))
    weigh = jax.jit(lambda rng: prior.log_prob_weight(params, stats, q, rng))
    z, log_w = weigh(jax.random.key(1))
    weights = np.exp(np.asarray(log_w, np.float64))
    error = weights.std() / NUM**0.5
    assert error < 0.02
    assert abs(weights.mean() - 1) < 5 * error
    np.testing.assert_allclose([z.mean(), z.var()], [mean, np.exp(log_var)], atol=0.15)
