"""A chain of T steps that ends in the latent itself, its reverse kernels autoregressive flows.

The states are z diffused to the gammas of t = 1/T, ..., 1, and z in place of y_0, so that there is
no noise between the chain and the latent: r(z) = N(y_1; 0, I) prod r(y_s|y_t) r(z|y_{1/T}). With
rho = alpha_t/alpha_s and h = sigma_s/sigma_t (alpha = 1 and sigma = 0 of z), y_s is
standardised by the mean and deviation that it has given y_t for z ~ N(0, I),
e = (y_s - rho y_t)/sqrt(1 - rho^2):

    q(e|y_t, z) = N(-sqrt(1 - h^2) v, h^2),             v = (alpha_t y_t - z)/sigma_t,
    r(e|y_t) = prod_d N(e_d; -sqrt(1 - h^2) v_d(e_<d, y_t), exp(2 s_d(e_<d, y_t))).

v is the velocity of Salimans & Ho 2022. Where v and s are zero, r is the exact reverse process of
z ~ N(0, I), and the weight of every path is log N(z; 0, I). Gaussian kernels of a chain would need
many steps to follow other data; those of few steps are as flexible as one affine autoregressive
flow is (the idea: normalizing trajectory models, Gu et al. 2026, arXiv:2605.08078).

A step is named by its index i = 0..T - 1: that from t = (i + 1)/T to i/T.

Bound and weight are one number, the log ratio along a path. Closed forms exist: the divergences of
the coefficients of q from r, each given those drawn before it. But their sum varies from path to
path even where r is exact, and the ratio then does not. On codes of digits, T = 4, the ratio has a
seventh of the variance, and its gradient by z about half; only the gradient by the network's
parameters has a fifth more.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Float, Float32

from vdp.diffusion import process
from vdp.diffusion.process import Gamma
from vdp.dists import LOG_2PI, sum_nonbatch
from vdp.types import Array, Terms

# (e, y_t, gamma_t) -> (v, s): what it gives for an entry depends on the entries of e before it
Kernel = Callable[
    [Float[Array, "n *s"], Float[Array, "n *s"], Float[Array, "n"]],
    tuple[Float[Array, "n *s"], Float[Array, "n *s"]],
]


class Steps(NamedTuple):
    """The numbers of every step; arrays of one axis, [T].

    Attributes:
      gamma: of y_t.
      shrink: rho.
      spread: sqrt(1 - rho^2).
      gain: sqrt(1 - h^2).
      left: h.
    """

    gamma: Float32[Array, "t"]
    shrink: Float32[Array, "t"]
    spread: Float32[Array, "t"]
    gain: Float32[Array, "t"]
    left: Float32[Array, "t"]


def kernel_steps(gamma: Gamma, num_steps: int) -> Steps:
    """The T steps of a schedule, which is evaluated from t = 1/T on."""
    gammas = jnp.asarray(gamma(jnp.arange(1, num_steps + 1) / num_steps), jnp.float32)
    log_alpha, log_sigma = -0.5 * softplus(gammas), -0.5 * softplus(-gammas)
    log_rho = jnp.diff(log_alpha, prepend=0.0)
    log_h = -jnp.diff(log_sigma)
    return Steps(
        gamma=gammas,
        shrink=jnp.exp(log_rho),
        spread=jnp.sqrt(-jnp.expm1(2 * log_rho)),
        gain=jnp.concatenate([jnp.ones(1), jnp.sqrt(-jnp.expm1(2 * log_h))]),
        left=jnp.concatenate([jnp.zeros(1), jnp.exp(log_h)]),
    )


class Walk(NamedTuple):
    """One path of q(y_{1/T}, ..., y_1 | z); the step's index is the first axis, [T, B, ...].

    Attributes:
      y: y_t.
      mean: of e given y_t and z.
      noise: e = mean + h noise; that of the step to z has no part in e.
    """

    y: Float[Array, "t b *s"]
    mean: Float[Array, "t b *s"]
    noise: Float[Array, "t b *s"]


def walk(steps: Steps, z: Float[Array, "b *s"], noise: Float[Array, "b t *s"]) -> Walk:
    """Draws one path for every latent.

    Args:
      steps: of the chain.
      z: latents, [B, ...].
      noise: standard normal, [B, T, ...]: that of y_1, then of the steps down to y_{1/T}.
    """
    down = jnp.moveaxis(noise, 1, 0)[::-1]  # by the index of the state, (i + 1)/T
    each = jnp.concatenate([jnp.zeros_like(down[:1]), down[:-1]])  # by that of the step

    def step(y: Array, xs: tuple[Steps, Array]) -> tuple[Array, tuple[Array, Array]]:
        at, drawn = xs
        v = (process.alpha(at.gamma) * y - z) / process.sigma(at.gamma)
        mean = -at.gain * v
        return at.shrink * y + at.spread * (mean + at.left * drawn), (y, mean)

    y_1 = process.diffuse(z, jnp.broadcast_to(steps.gamma[-1], z.shape[:1]), down[-1])
    _, (y, mean) = jax.lax.scan(step, y_1, (steps, each), reverse=True)
    return Walk(y, mean, each)


def log_ratio(
    kernel: Kernel, gamma: Gamma, z: Float[Array, "b *s"], noise: Float[Array, "b t *s"]
) -> Terms:
    """The log-weight log r(z, y_{1/T}..y_1) - log q(y_{1/T}..y_1 | z) at one path, [B], in parts.

    Its mean is a lower bound on log r(z), the mean of its exponential r(z). `latent_0` is
    log r(z|y_{1/T}), `latent_1` the ratio at y_1, of mean -KL(q(y_1|z) || N(0, I)), and `diffusion`
    that of the steps between, of mean minus their divergences; 0 where T = 1.

    Args:
      kernel: the network.
      gamma: the schedule.
      z: latents, [B, ...].
      noise: as of `walk`.
    """
    steps, dims = kernel_steps(gamma, noise.shape[1]), z[0].size
    path = walk(steps, z, noise)
    e = path.mean + process.expand(steps.left, path.y) * path.noise
    flat = lambda x: x.reshape(-1, *x.shape[2:])  # all steps in one call of the network
    v, log_scale = kernel(flat(e), flat(path.y), jnp.repeat(steps.gamma, len(z)))
    v, log_scale = v.reshape(e.shape), log_scale.reshape(e.shape)
    squares = jnp.square((e + process.expand(steps.gain, e) * v) * jnp.exp(-log_scale))
    log_r = -jax.vmap(sum_nonbatch)(0.5 * (squares - jnp.square(path.noise)) + log_scale)
    start = 0.5 * sum_nonbatch(jnp.square(noise[:, 0]) - jnp.square(path.y[-1]))
    return Terms.of(
        latent_0=log_r[0] - dims * (0.5 * LOG_2PI + jnp.log(steps.spread[0])),
        latent_1=start + dims * jnp.log(process.sigma(steps.gamma[-1])),
        diffusion=log_r[1:].sum(axis=0) + dims * jnp.log(steps.left[1:]).sum(),
    )


def descend(
    kernel: Kernel, gamma: Gamma, y_1: Float[Array, "n *s"], noise: Float[Array, "n t *s"]
) -> Float[Array, "n *s"]:
    """Carries y_1 and the noise of every step to z, exactly, in T passes for each entry of z.

    Args:
      kernel: the network.
      gamma: the schedule.
      y_1: where the chain begins, [N, ...].
      noise: of the steps in their order, from t = 1 down, [N, T, ...].
    """
    steps = kernel_steps(gamma, noise.shape[1])

    def step(y: Array, xs: tuple[Steps, Array]) -> tuple[Array, None]:
        at, drawn = xs
        gamma_t = jnp.broadcast_to(at.gamma, y.shape[:1])

        def one_pass(n: Array | int, e: Array) -> Array:  # settles entry n, others could overflow
            v, log_scale = kernel(e, y, gamma_t)
            settled = jnp.arange(y[0].size).reshape(y.shape[1:]) <= n
            return jnp.where(settled, jnp.exp(log_scale) * drawn - at.gain * v, 0.0)

        e = jax.lax.fori_loop(0, y[0].size, one_pass, jnp.zeros_like(y))
        return at.shrink * y + at.spread * e, None

    z, _ = jax.lax.scan(step, y_1, (steps, jnp.moveaxis(noise, 1, 0)[::-1]), reverse=True)
    return z
