"""Importance weights of paths: ratios of two known densities, which average to the chain's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import filter_jit
from oracles import gaussian_eps_fn, linear, t_step_moments, with_error

from vdp import draws
from vdp.diffusion import bounds, paths, process
from vdp.diffusion.noise import Path
from vdp.dists import Normal, standard_normal

Z = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)


def test_path_weight_is_the_ratio_of_the_two_path_densities():
    gamma, num_steps = linear(-5.0, 4.0), 6
    path = draws.normal(jax.random.key(6), (len(Z), num_steps + 1, 2))
    eps_fn = gaussian_eps_fn()
    g = [jnp.full(len(Z), gamma(i / num_steps)) for i in range(num_steps + 1)]
    a, s = process.alpha(g[-1])[:, None], process.sigma(g[-1])[:, None]
    y = a * Z + s * path[:, 0]
    log_var = jnp.broadcast_to(2 * jnp.log(s), Z.shape)
    weight = standard_normal(y).log_prob(y) - Normal(a * Z, log_var).log_prob(y)
    for j, i in enumerate(range(num_steps, 0, -1)):
        a, s = process.alpha(g[i])[:, None], process.sigma(g[i])[:, None]
        mean_q, std = process.reverse_moments(y, (y - a * Z) / s, g[i], g[i - 1])
        mean_r, _ = process.reverse_moments(y, eps_fn(y, g[i]), g[i], g[i - 1])
        y_s = mean_q + std * path[:, j + 1]
        log_var = jnp.broadcast_to(2 * jnp.log(std), Z.shape)
        weight += Normal(mean_r, log_var).log_prob(y_s) - Normal(mean_q, log_var).log_prob(y_s)
        y = y_s
    end = Normal(y / process.alpha(g[0])[:, None], jnp.full_like(Z, gamma(0.0)))
    expected = weight + end.log_prob(Z)
    found = filter_jit(paths.log_weight)(eps_fn, gamma, Z, Path(steps=path))
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_posterior_step_keeps_the_forward_marginal():
    """q(y_s | y_t, z) pushed through q(y_t | z) has to give q(y_s | z)."""
    g_t, g_s = jnp.float32(1.3), jnp.float32(-2.0)
    z, n = 0.9, draws.normal(jax.random.key(7), (2, 200_000, 1))
    y_t = process.alpha(g_t) * z + process.sigma(g_t) * n[0]
    wide = jnp.full(len(y_t), 1.0)
    mean, std = process.reverse_moments(y_t, n[0], g_t * wide, g_s * wide)
    y_s = mean + std * n[1]
    assert abs(float(y_s.mean() - process.alpha(g_s) * z)) < 0.01
    assert abs(float(y_s.std() / process.sigma(g_s)) - 1) < 0.01


@pytest.mark.parametrize("num_steps", [1, 3, 8])
def test_path_weight_averages_to_the_exact_t_step_density(num_steps):
    gamma = linear(-1.0, 3.0)
    z = jnp.array([[-0.5], [0.7], [1.6]])
    mean, var = t_step_moments(gamma, num_steps)
    exact = -0.5 * (np.log(2 * np.pi * var) + (np.asarray(z)[:, 0] - mean) ** 2 / var)
    path = draws.normal(jax.random.key(8), (200_000, 3, num_steps + 1, 1))
    weigh = lambda steps: paths.log_weight(gaussian_eps_fn(), gamma, z, Path(steps=steps))
    weights = jax.lax.map(weigh, path, batch_size=20_000)
    ratio, se = with_error(np.exp(np.asarray(weights, np.float64) - exact))
    assert np.all(np.abs(ratio - 1) < 5 * se)
    assert np.all(se < 0.02)
    # and its mean is the T-step bound
    bound = jax.jit(
        jax.vmap(
            lambda rng: bounds.discrete(gaussian_eps_fn(), gamma, z, rng, num_steps=num_steps).value
        )
    )(jax.random.split(jax.random.key(9), 20_000))
    (a, se_a), (b, se_b) = with_error(weights), with_error(bound)
    assert np.all(np.abs(a - b) < 5 * np.hypot(se_a, se_b))
    assert np.all(b < exact + 5 * se_b)
