"""The variance-preserving forward process and its reverse step (method: VDM, Kingma et al. 2021).

alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), y_t = alpha_t z + sigma_t eps.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Float

from vdp.errors import choose_from
from vdp.types import Array

PARAMETERIZATIONS = ("v", "eps", "x0")
# the denoiser: (y, gamma) -> eps_hat, and the schedule: t -> gamma
EpsFn = Callable[[Float[Array, "n *s"], Float[Array, "n"]], Float[Array, "n *s"]]
Gamma = Callable[[Float[Array, "*t"] | float], Float[Array, "*t"]]


def expand(x: Float[Array, "n"], like: Float[Array, "n *s"]) -> Float[Array, "n ..."]:
    """Appends axes to `x` [N] until it broadcasts against `like` [N, ...]."""
    return x.reshape(x.shape + (1,) * (like.ndim - x.ndim))


def alpha(gamma: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The signal's factor sqrt(sigmoid(-gamma)), by logs: both tails keep their precision."""
    return jnp.exp(-0.5 * softplus(gamma))


def sigma(gamma: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The noise's standard deviation sqrt(sigmoid(gamma))."""
    return jnp.exp(-0.5 * softplus(-gamma))


def diffuse(
    z: Float[Array, "n *s"], gamma: Float[Array, "n"], eps: Float[Array, "n *s"]
) -> Float[Array, "n *s"]:
    """Diffuses z to y = alpha z + sigma eps, for z, eps [N, ...] and gamma [N]."""
    gamma = expand(gamma, z)
    return alpha(gamma) * z + sigma(gamma) * eps


def to_eps(
    output: Float[Array, "n *s"],
    y: Float[Array, "n *s"],
    gamma: Float[Array, "n"],
    parameterization: str,
) -> Float[Array, "n *s"]:
    """Converts a network output into eps_hat.

    v = alpha eps - sigma z gives eps_hat = sigma y + alpha v (Salimans & Ho 2022); "x0" is z_hat
    itself, eps_hat = (y - alpha z_hat) / sigma.

    Args:
      output: the network's, [N, ...].
      y: the diffused z that the network saw, [N, ...].
      gamma: the noise level of y, [N].
      parameterization: what the output is, one of PARAMETERIZATIONS.

    Raises:
      UserError: another parameterization.
    """
    if parameterization not in PARAMETERIZATIONS:
        raise choose_from("parameterization", parameterization, PARAMETERIZATIONS)
    if parameterization == "eps":
        return output
    gamma = expand(gamma, y)
    if parameterization == "x0":
        return (y - alpha(gamma) * output) / sigma(gamma)
    return sigma(gamma) * y + alpha(gamma) * output


def untrained_error(
    gamma: Float[Array, "n"], parameterization: str, *, gives_input: bool = False
) -> Float[Array, "n"]:
    """E(eps - eps_hat)^2 of a network that still gives 0, for z ~ N(0, 1), [N].

    Of "v" it is alpha^2, the least that is possible; of "x0" alpha^2 / sigma^2.

    Args:
      gamma: the noise levels, [N].
      parameterization: what the network's output is.
      gives_input: whether it gives y in place of 0, as one that adds its input does.
    """
    one = jnp.ones_like(gamma)
    # eps_hat = of_y * y, which is linear in what the network gives
    of_y = to_eps(one * gives_input, one, gamma, parameterization)
    return jnp.square(1 - of_y * sigma(gamma)) + jnp.square(of_y * alpha(gamma))


def denoise(
    y: Float[Array, "n *s"], gamma: Float[Array, "n"], eps_hat: Float[Array, "n *s"]
) -> Float[Array, "n *s"]:
    """The estimate z_hat = (y - sigma eps_hat) / alpha of z, for y, eps_hat [N, ...], gamma [N]."""
    gamma = expand(gamma, y)
    return (y - sigma(gamma) * eps_hat) / alpha(gamma)


def reverse_moments(
    y_t: Float[Array, "n *s"],
    eps_hat: Float[Array, "n *s"],
    gamma_t: Float[Array, "n"],
    gamma_s: Float[Array, "n"],
) -> tuple[Float[Array, "n *s"], Float[Array, "n ..."]]:
    """Mean and standard deviation of the ancestral step from t to an earlier s.

    k = -expm1(gamma_s - gamma_t): mean alpha_s/alpha_t (y_t - sigma_t k eps_hat), variance
    sigma_s^2 k. With the true eps in place of eps_hat it is q(y_s | y_t, z).

    Args:
      y_t: [N, ...].
      eps_hat: the denoiser's, [N, ...].
      gamma_t: the noise level of y_t, [N].
      gamma_s: the lower one that is stepped to, [N].

    Returns:
      (mean [N, ...], standard deviation [N, 1, ...]).
    """
    gamma_t, gamma_s = expand(gamma_t, y_t), expand(gamma_s, y_t)
    k = -jnp.expm1(gamma_s - gamma_t)
    mean = alpha(gamma_s) / alpha(gamma_t) * (y_t - sigma(gamma_t) * k * eps_hat)
    return mean, sigma(gamma_s) * jnp.sqrt(k)
