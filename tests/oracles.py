"""Exact solutions the tests compare with: Gaussian data, its best denoiser, the T-step model."""

import jax
import jax.numpy as jnp
import numpy as np

from vdp.diffusion import process

MEAN, STD = 0.7, 0.6
ANNEALING = [  # beta, steps of a KL warm-up, a step, and the weight of the rate there
    (1.0, 10, 0, 0.1), (1.0, 10, 4, 0.5), (1.0, 10, 9, 1.0), (1.0, 10, 500, 1.0),
    (0.3, 10, 4, 0.15), (0.3, 10, 500, 0.3), (2.0, 0, 0, 2.0),
]  # fmt: skip


def gaussian_eps_fn(mean=MEAN, std=STD):
    """E[eps | y] where z ~ N(mean, std^2): the denoiser no network can beat."""

    def eps_fn(y, gamma):
        g = process.expand(gamma, y)
        a, s = process.alpha(g), process.sigma(g)
        return s * (y - a * mean) / (a**2 * std**2 + s**2)

    return eps_fn


def t_step_moments(gamma, num_steps, mean=MEAN, std=STD, log_v=None):
    """Mean and variance of z under the T-step ancestral model with that denoiser (1-D, exact).

    `log_v` [T] are the logs of its steps' variances in units of q's. Every step is affine in y, so
    y_s stays Gaussian: m <- c m + d, v <- c^2 v + var.
    """
    m, v = 0.0, 1.0
    for i in range(num_steps, 0, -1):
        gt, gs = (np.float64(gamma(np.float64(j / num_steps))) for j in (i, i - 1))
        a_t, a_s = (np.sqrt(1 / (1 + np.exp(g))) for g in (gt, gs))
        s_t, s_s = (np.sqrt(1 / (1 + np.exp(-g))) for g in (gt, gs))
        k = -np.expm1(gs - gt)
        slope = s_t / (a_t**2 * std**2 + s_t**2)  # eps_hat = slope (y - a_t mean)
        c = a_s / a_t * (1 - s_t * k * slope)
        d = a_s / a_t * s_t * k * slope * a_t * mean
        width = 1.0 if log_v is None else np.exp(np.float64(log_v[i - 1]))
        m, v = c * m + d, c**2 * v + width * s_s**2 * k
    g0 = np.float64(gamma(np.float64(0)))
    a_0 = np.sqrt(1 / (1 + np.exp(g0)))
    return m / a_0, v / a_0**2 + np.exp(g0)


def smoothed_log_density(z, gamma_0, mean=MEAN, std=STD):
    """E_n log N(z + n; mean, std^2 + e^gamma_0), n ~ N(0, e^gamma_0), summed over dimensions.

    What the continuous bound equals exactly with the oracle: the path is q's own, so
    L0 + L1 + LT = -E log of the data density smoothed by the end term's noise.
    """
    total = std**2 + np.exp(gamma_0)
    terms = np.log(2 * np.pi * total) + ((z - mean) ** 2 + np.exp(gamma_0)) / total
    return -0.5 * np.sum(terms.reshape(len(z), -1), axis=1)


WEIGHTS = jnp.array([0.5, 0.3, 0.2])
MEANS = jnp.array([[1.5, 0.2], [-1.0, 1.0], [-0.2, -1.3]])


def mixture_log_density(y, gamma, *, std=0.4, extra=0.0):
    """Log density of y [B, 2] at gamma [B] over a mixture of three Gaussians; gamma None: of z."""
    a, s = (1.0, 0.0) if gamma is None else (process.alpha(gamma), process.sigma(gamma))
    a, s = (jnp.broadcast_to(jnp.asarray(x), y.shape[:1])[:, None] for x in (a, s))
    var = a**2 * (std**2 + extra) + s**2
    squares = ((y[:, None] - a[..., None] * MEANS[None]) ** 2).sum(-1)
    return jax.nn.logsumexp(
        jnp.log(WEIGHTS)[None] - 0.5 * squares / var - jnp.log(2 * jnp.pi * var), axis=1
    )


def mixture_eps_fn(y, gamma):
    """E[eps | y] = -sigma grad log p(y) over that mixture."""
    score = jax.grad(lambda y: mixture_log_density(y, gamma).sum())(y)
    return -process.sigma(process.expand(gamma, y)) * score


def linear(gamma_0, gamma_1):
    """gamma(t), fixed and linear."""
    return lambda t: gamma_0 + (gamma_1 - gamma_0) * jnp.asarray(t)


def with_error(draws):
    """Mean over axis 0 and its standard error."""
    draws = np.asarray(draws, np.float64)
    return draws.mean(0), draws.std(0, ddof=1) / np.sqrt(len(draws))
