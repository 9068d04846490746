"""A chain of T steps that ends in the latent itself, its reverse kernels autoregressive flows.

The states are z diffused to the gammas of t = 1/T, ..., 1, and z in place of y_0, so that there is
no noise between the chain and the latent: r(z) = N(y_1; 0, I) prod r(y_s|y_t) r(z|y_{1/T}). With
rho = alpha_t/alpha_s and h = sigma_s/sigma_t (alpha = 1 and sigma = 0 of z), y_s is looked at in
units of what y_t leaves open of it where z is N(0, I), e = (y_s - rho y_t)/sqrt(1 - rho^2). There

    q(e|y_t, z) = N(-sqrt(1 - h^2) v, h^2),             v = (alpha_t y_t - z)/sigma_t,
    r(e|y_t) = prod_d N(e_d; -sqrt(1 - h^2) v_d(e_<d, y_t), exp(2 s_d(e_<d, y_t))).

v is the denoiser's of Salimans & Ho 2022. Where v and s are zero, r is the exact reverse process of
z ~ N(0, I), and the weight of every path is log N(z; 0, I). Gaussian kernels of a chain would need
many steps to follow other data; those of few steps are as flexible as one affine autoregressive
flow is (the idea: normalizing trajectory models, 2026).

A step is named by its index i = 0..T - 1: that from t = (i + 1)/T to i/T. Every sum is exact: the
bound has the divergence of a coefficient from r given those drawn before it in closed form, for q
has independent ones; the weight has log densities at what is drawn alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Float, Float32

from vdp.diffusion import process
from vdp.diffusion.bounds import latent_1
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


def steps_of(gamma: Gamma, num_steps: int) -> Steps:
    """The T steps of a schedule, which is looked at from t = 1/T on."""
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


def _moments(
    kernel: Kernel, steps: Steps, y: Float[Array, "t b *s"], e: Float[Array, "t b *s"]
) -> tuple[Float[Array, "t b *s"], Float[Array, "t b *s"]]:
    """Mean and log deviation of e under r, all steps of all latents in one call of the network."""
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    v, log_scale = kernel(flat(e), flat(y), jnp.repeat(steps.gamma, y.shape[1]))
    return -process.expand(steps.gain, y) * v.reshape(y.shape), log_scale.reshape(y.shape)


def _each(x: Float[Array, "t b *s"]) -> Float32[Array, "t b"]:
    """Sums over the coefficients of every step and latent."""
    return jax.vmap(sum_nonbatch)(x)


def bound(
    kernel: Kernel, gamma: Gamma, z: Float[Array, "b *s"], noise: Float[Array, "b t *s"]
) -> Terms:
    """A lower bound on log r(z) at one path, [B]: parts latent_0, latent_1, diffusion.

    `latent_0` = log r(z|y_{1/T}), `latent_1` = -KL(q(y_1|z) || N(0, I)), and `diffusion` is minus
    the divergences of the steps between, 0 where T = 1.

    Args:
      kernel: the network.
      gamma: the schedule.
      z: latents, [B, ...].
      noise: as of `walk`.
    """
    steps = steps_of(gamma, noise.shape[1])
    path = walk(steps, z, noise)
    left = process.expand(steps.left, path.y)
    mean, log_scale = _moments(kernel, steps, path.y, path.mean + left * path.noise)
    squares = (jnp.square(path.mean - mean) + jnp.square(left)) * jnp.exp(-2 * log_scale)
    log_prob = -_each(0.5 * squares + log_scale)  # and a constant
    of_q = -0.5 - jnp.log(steps.left[1:, None])
    dims = z[0].size
    return Terms.of(
        latent_0=log_prob[0] - dims * (0.5 * LOG_2PI + jnp.log(steps.spread[0])),
        latent_1=latent_1(steps.gamma[-1], z),
        diffusion=jnp.sum(log_prob[1:] - dims * of_q, axis=0),
    )


def log_weight(
    kernel: Kernel, gamma: Gamma, z: Float[Array, "b *s"], noise: Float[Array, "b t *s"]
) -> Float32[Array, "b"]:
    """The weight log r(z, y_{1/T}..y_1) - log q(y_{1/T}..y_1 | z) at one path, [B].

    Its exponential averages to r(z), and itself to what `bound` averages to.

    Args:
      kernel: the network.
      gamma: the schedule.
      z: latents, [B, ...].
      noise: as of `walk`.
    """
    steps = steps_of(gamma, noise.shape[1])
    path = walk(steps, z, noise)
    e = path.mean + process.expand(steps.left, path.y) * path.noise
    mean, log_scale = _moments(kernel, steps, path.y, e)
    squares = jnp.square((e - mean) * jnp.exp(-log_scale)) - jnp.square(path.noise)
    inner = jnp.log(steps.left[1:]).sum() - jnp.log(steps.spread[0]) - 0.5 * LOG_2PI
    start = jnp.square(noise[:, 0]) - jnp.square(path.y[-1])
    at_1 = 0.5 * sum_nonbatch(start) + z[0].size * jnp.log(process.sigma(steps.gamma[-1]))
    return at_1 - _each(0.5 * squares + log_scale).sum(axis=0) + z[0].size * inner


def descend(
    kernel: Kernel, gamma: Gamma, y_1: Float[Array, "n *s"], noise: Float[Array, "n t *s"]
) -> Float[Array, "n *s"]:
    """Carries y_1 and the noise of every step to z: exact, T times as many passes as entries.

    Args:
      kernel: the network.
      gamma: the schedule.
      y_1: where the chain begins, [N, ...].
      noise: of the steps in their order, from t = 1 down, [N, T, ...].
    """
    steps = steps_of(gamma, noise.shape[1])

    def step(y: Array, xs: tuple[Steps, Array]) -> tuple[Array, None]:
        at, drawn = xs
        gamma_t = jnp.broadcast_to(at.gamma, y.shape[:1])

        def one_pass(_: Array | int, e: Array) -> Array:  # settles one more entry of e
            v, log_scale = kernel(e, y, gamma_t)
            return jnp.exp(log_scale) * drawn - at.gain * v

        e = jax.lax.fori_loop(0, y[0].size, one_pass, jnp.zeros_like(y))
        return at.shrink * y + at.spread * e, None

    z, _ = jax.lax.scan(step, y_1, (steps, jnp.moveaxis(noise, 1, 0)[::-1]), reverse=True)
    return z
