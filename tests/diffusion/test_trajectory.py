"""A chain of flows: exact on Gaussian data, exact inverses, and its start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import draws
from vdp.diffusion import process, trajectory
from vdp.diffusion.schedules import linear

MEAN = np.array([0.7, -1.0, 0.2])
ROOT = np.array([[1.2, 0.0, 0.0], [-0.9, 0.5, 0.0], [0.4, 0.3, 0.8]])
COVARIANCE = ROOT @ ROOT.T
NUM = 5


def log_density(z):
    white = np.linalg.solve(ROOT, (np.asarray(z, np.float64) - MEAN).T)
    return -0.5 * (white**2).sum(0) - np.log(np.diag(ROOT)).sum() - 1.5 * np.log(2 * np.pi)


def test_what_is_not_settled_yet_cannot_overflow():
    """Of sums over all that comes before, the passes would have binomial coefficients above it."""
    size = 200

    def sums(e, y, gamma):
        return jnp.float32(e @ jnp.triu(jnp.full((size, size), 2.0), 1)), jnp.zeros_like(e)

    noise = draws.normal(jax.random.key(0), (2, 1, size))
    gamma = lambda t: 6.0 * jnp.asarray(t) - 3.0
    found = trajectory.descend(sums, gamma, jnp.zeros((2, size)), noise)
    assert np.isfinite(found).all()


def exact_kernel(gamma, num_steps):
    """q(y_s|y_t) of z ~ N(MEAN, COVARIANCE), by conditioning Gaussians, as an affine flow of e."""
    steps = trajectory.kernel_steps(gamma, num_steps)
    moments = []
    for i in range(num_steps):
        alpha_t, sigma_t = (float(f(steps.gamma[i])) for f in (process.alpha, process.sigma))
        before = steps.gamma[i - 1]
        alpha_s = float(process.alpha(before)) if i else 1.0
        sigma_s = float(process.sigma(before)) if i else 0.0
        of_t = alpha_t**2 * COVARIANCE + sigma_t**2 * np.eye(3)
        of_s = alpha_s**2 * COVARIANCE + sigma_s**2 * np.eye(3)
        rho = alpha_t / alpha_s
        slope = rho * of_s @ np.linalg.inv(of_t)
        left = np.linalg.cholesky(of_s - slope @ (rho * of_s))
        moments.append((slope, alpha_s * MEAN - slope @ (alpha_t * MEAN), left, rho))
    slope, shift, left, rho = (
        jnp.asarray(np.stack(m), jnp.float32) for m in zip(*moments, strict=True)
    )

    def kernel(e, y, gamma_t):
        i = jnp.argmin(jnp.abs(gamma_t[:, None] - steps.gamma[None]), axis=1)
        gain, spread = steps.gain[i][:, None], steps.spread[i][:, None]
        mean = jnp.einsum("nij,nj->ni", slope[i], y) + shift[i]
        mean = (mean - rho[i][:, None] * y) / spread  # of e; its Cholesky factor is left/spread
        diagonal = jnp.diagonal(left[i], axis1=1, axis2=2)
        white = jax.vmap(lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True))(
            left[i] / spread[..., None], e - mean
        )
        before = jnp.einsum("nij,nj->ni", jnp.tril(left[i], -1) / spread[..., None], white)
        return -(mean + before) / gain, jnp.log(diagonal / spread)

    return kernel


@pytest.mark.parametrize("num_steps", [1, 3])
def test_with_the_exact_kernels_every_weight_is_the_density(num_steps):
    """The bound too. The chain starts as N(0, I), which y_1 follows at so large a gamma_1."""
    gamma = linear(gamma_0=-3.0, gamma_1=24.0).bind({})
    kernel = exact_kernel(gamma, num_steps)
    rng = jax.random.key(0)
    z = 1.5 * draws.normal(rng, (NUM, 3))
    path = draws.normal(jax.random.key(1), (NUM, num_steps, 3))
    weight = jax.jit(lambda z: trajectory.log_ratio(kernel, gamma, z, path).value)(z)
    np.testing.assert_allclose(weight, log_density(z), atol=2e-4)

    draw = draws.normal(jax.random.key(2), (20_000, num_steps + 1, 3))
    sample = jax.jit(lambda x: trajectory.descend(kernel, gamma, x[:, 0], x[:, 1:]))(draw)
    np.testing.assert_allclose(sample.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(sample.T), COVARIANCE, atol=0.07)


def test_without_a_network_the_chain_is_the_standard_normal():
    gamma = linear(gamma_0=-4.0, gamma_1=1.0).bind({})
    zero = lambda e, y, gamma_t: (jnp.zeros_like(e), jnp.zeros_like(e))
    z = 2 * draws.normal(jax.random.key(0), (NUM, 2, 2))
    path = draws.normal(jax.random.key(1), (NUM, 3, 2, 2))
    exact = -0.5 * np.square(z).sum((1, 2)) - 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(trajectory.log_ratio(zero, gamma, z, path).value, exact, rtol=1e-5)


def test_a_path_is_the_forward_process_and_its_noise_gives_it_back():
    """Descending from y_1 with the noise that q's path has under r retraces that path."""
    gamma = linear(gamma_0=-4.0, gamma_1=3.0).bind({})

    def kernel(e, y, gamma_t):  # any autoregressive one
        before = jnp.cumsum(e, axis=1) - e
        return jnp.sin(before + 2 * y[:, ::-1]), 0.3 * jnp.tanh(before - y + gamma_t[:, None])

    z = draws.normal(jax.random.key(0), (4000, 2))
    noise = draws.normal(jax.random.key(1), (4000, 3, 2))
    steps = trajectory.kernel_steps(gamma, 3)
    path = trajectory.walk(steps, z, noise)
    for i in range(3):  # y_t ~ N(alpha z, sigma^2), whatever the states after it
        alpha, sigma = process.alpha(steps.gamma[i]), process.sigma(steps.gamma[i])
        eps = (path.y[i] - alpha * z) / sigma
        np.testing.assert_allclose(np.cov(eps.T), np.eye(2), atol=0.12)
        assert abs(float(jnp.mean(eps * z))) < 0.06
    e = path.mean + steps.left[:, None, None] * path.noise
    given = []
    for i in reversed(range(3)):
        v, log_scale = kernel(e[i], path.y[i], jnp.broadcast_to(steps.gamma[i], 4000))
        given.append((e[i] + steps.gain[i] * v) * jnp.exp(-log_scale))
    back = trajectory.descend(kernel, gamma, path.y[-1], jnp.stack(given, axis=1))
    np.testing.assert_allclose(back, z, atol=1e-4)
