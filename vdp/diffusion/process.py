"""The variance-preserving forward process and its reverse step (method: VDM, Kingma et al. 2021).

alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), y_t = alpha_t z + sigma_t eps.
"""

import jax.numpy as jnp
from jax.nn import softplus

from vdp.errors import UserError
from vdp.types import Array

PARAMETERIZATIONS = ("v", "eps", "x0")


def expand(x: Array, like: Array) -> Array:
    """Appends axes to `x` [N] until it broadcasts against `like` [N, ...]."""
    return x.reshape(x.shape + (1,) * (like.ndim - x.ndim))


def alpha(gamma: Array) -> Array:
    """sqrt(sigmoid(-gamma)), by logs so that both tails keep their precision."""
    return jnp.exp(-0.5 * softplus(gamma))


def sigma(gamma: Array) -> Array:
    """sqrt(sigmoid(gamma))."""
    return jnp.exp(-0.5 * softplus(-gamma))


def diffuse(z: Array, gamma: Array, eps: Array) -> Array:
    """y = alpha z + sigma eps for z, eps [N, ...] and gamma [N]."""
    gamma = expand(gamma, z)
    return alpha(gamma) * z + sigma(gamma) * eps


def to_eps(output: Array, y: Array, gamma: Array, parameterization: str) -> Array:
    """Converts a network output into eps_hat.

    v = alpha eps - sigma z gives eps_hat = sigma y + alpha v (Salimans & Ho 2022); "x0" is z_hat
    itself, eps_hat = (y - alpha z_hat) / sigma.
    """
    if parameterization not in PARAMETERIZATIONS:
        known = ", ".join(PARAMETERIZATIONS)
        raise UserError(f"parameterization={parameterization!r} is not one of {known}")
    if parameterization == "eps":
        return output
    gamma = expand(gamma, y)
    if parameterization == "x0":
        return (y - alpha(gamma) * output) / sigma(gamma)
    return sigma(gamma) * y + alpha(gamma) * output


def denoise(y: Array, gamma: Array, eps_hat: Array) -> Array:
    """z_hat = (y - sigma eps_hat) / alpha, for gamma [N]."""
    gamma = expand(gamma, y)
    return (y - sigma(gamma) * eps_hat) / alpha(gamma)


def reverse_moments(
    y_t: Array, eps_hat: Array, gamma_t: Array, gamma_s: Array
) -> tuple[Array, Array]:
    """Mean and standard deviation of the ancestral step from t to an earlier s.

    k = -expm1(gamma_s - gamma_t): mean alpha_s/alpha_t (y_t - sigma_t k eps_hat), variance
    sigma_s^2 k. With the true eps in place of eps_hat it is q(y_s | y_t, z).
    """
    gamma_t, gamma_s = expand(gamma_t, y_t), expand(gamma_s, y_t)
    k = -jnp.expm1(gamma_s - gamma_t)
    mean = alpha(gamma_s) / alpha(gamma_t) * (y_t - sigma(gamma_t) * k * eps_hat)
    return mean, sigma(gamma_s) * jnp.sqrt(k)
