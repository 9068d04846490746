"""Widths of the reverse steps of a T-step chain: log v, their variances in units of those of q.

Step t -> s of the generative chain is r(y_s|y_t) = N(mean, v sigma_s^2 k), where q(y_s|y_t, z) has
the variance sigma_s^2 k (`process.reverse_moments`). Published programs fix v = 1, which is right
for infinitely many steps. A step's divergence from q is, with w = expm1(gamma_t - gamma_s),

    KL(q || r) = 1/2 sum_d [1/v_d - 1 + log v_d + w (eps - eps_hat)_d^2 / v_d],

and on average smallest where v_d = 1 + w E(eps - eps_hat)_d^2 (Bao et al. 2022, "Estimating the
Optimal Covariance with Imperfect Mean in Diffusion Probabilistic Models", here with one expectation
for all y_t): with the best denoiser that is the variance of y_s given y_t.

`log_v` is [T, *s], that of step (i + 1)/T -> i/T at index i; an axis of size 1 is shared by all
coefficients along it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.diffusion import process
from vdp.diffusion.process import EpsFn, Gamma
from vdp.dists import sum_nonbatch
from vdp.types import Array, Key, Shape


def best(errors: Float[Array, "t *s"], gammas: Float[Array, "t+1"]) -> Float32[Array, "t *s"]:
    """log v of the chain whose bound is the highest, for E(eps - eps_hat)^2 of every step.

    Args:
      errors: mean squared errors of the denoiser at the end of every step, [T, *s].
      gammas: gamma(i/T) for i = 0..T, [T + 1].
    """
    w = process.expand(jnp.expm1(jnp.diff(gammas)), errors)
    return jnp.log1p(w * errors).astype(jnp.float32)


def whole(log_v: Float[Array, "t ..."], shape: Shape) -> Float[Array, "t *s"]:
    """log v of every coefficient of a latent of `shape`, [T, *shape]."""
    return jnp.broadcast_to(log_v, (len(log_v), *shape))


def width_kl(log_v: Float[Array, "t *s"]) -> Float[Array, "t"]:
    """Nats that the widths alone cost: 1/2 sum_d [1/v_d - 1 + log v_d] of every step, [T]."""
    return 0.5 * sum_nonbatch(jnp.expm1(-log_v) + log_v)


def squared_errors(
    eps_fn: EpsFn, gamma: Gamma, z: Float[Array, "b *s"], rng: Key, num: int
) -> tuple[Float32[Array, "m"], Float[Array, "m b *s"]]:
    """(eps - eps_hat)^2 of a denoiser at one draw of y at each of the even times i/M.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents or codes, [B, ...].
      rng: a key.
      num: M.

    Returns:
      (gamma(i/M) [M + 1], the squares there [M + 1, B, ...]).
    """
    gammas = jnp.asarray(gamma(jnp.arange(num + 1) / num), jnp.float32)

    def at(level: tuple[Array, Key]) -> Array:  # one after the other: the memory of one
        gamma, eps = jnp.broadcast_to(level[0], z.shape[:1]), draws.normal(level[1], z.shape)
        return jnp.square(eps - eps_fn(process.diffuse(z, gamma, eps), gamma))

    return gammas, jax.lax.map(at, (gammas, jax.random.split(rng, num + 1)))
