"""Lower bounds on log r(z) of a diffusion model, as named parts in nats.

`latent_0` = -L0, `latent_1` = -L1 and `diffusion` = -LT with, for z of D dimensions,
L1 = 1/2 sum(sigma_1^2 + alpha_1^2 z^2 - 1 - log sigma_1^2) and the closed form
L0 = D/2 (1 + log 2 pi + gamma_0) of -E log N(z; y_0/alpha_0, exp gamma_0).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.nn import softplus

from vdp.diffusion import process
from vdp.diffusion.times import every_step, stratified
from vdp.dists import LOG_2PI, sum_nonbatch
from vdp.types import Array, Noise, Terms

EpsFn = Callable[[Array, Array], Array]
Gamma = Callable[[Array], Array]


def latent_0(gamma_0: Array, z: Array) -> Array:
    """-L0 = -D/2 (1 + log 2 pi + gamma_0), [B]; a constant, never a sample."""
    dims = z[0].size
    return jnp.full(z.shape[0], -0.5 * dims * (1 + LOG_2PI + gamma_0), jnp.float32)


def latent_1(gamma_1: Array, z: Array) -> Array:
    """-L1 = -KL(q(y_1|z) || N(0, I)), [B]."""
    log_var = -softplus(-gamma_1)
    alpha2 = jnp.exp(-softplus(gamma_1))
    return -0.5 * sum_nonbatch(jnp.exp(log_var) + alpha2 * jnp.square(z) - 1 - log_var)


def squared_errors(eps_fn: EpsFn, gamma_t: Array, z: Array, eps: Array) -> Array:
    """|eps - eps_hat(y_t, gamma_t)|^2 for gamma_t [B, n] and eps [B, n, ...]: [B, n]."""
    batch, num_times = gamma_t.shape
    flat_gamma = gamma_t.reshape(-1)
    flat_eps = eps.reshape(batch * num_times, *z.shape[1:])
    y = process.diffuse(jnp.repeat(z, num_times, axis=0), flat_gamma, flat_eps)
    errors = sum_nonbatch(jnp.square(flat_eps - eps_fn(y, flat_gamma)))
    return errors.reshape(batch, num_times)


def _with_ends(diffusion: Array, gamma: Gamma, z: Array) -> Terms:
    zero, one = jnp.float32(0), jnp.float32(1)
    return Terms.of(
        latent_0=latent_0(gamma(zero), z),
        latent_1=latent_1(gamma(one), z),
        diffusion=diffusion,
    )


def continuous(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Array,
    rng: Array | None = None,
    *,
    num_times: int = 32,
    noise: Noise | None = None,
) -> Terms:
    """The bound in continuous time: LT = 1/2 E[gamma'(t) |eps - eps_hat|^2] (VDM, Eq. 17).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule, differentiated by `jax.jvp`.
      z: [B, ...].
      rng: draws a fresh stratified grid per example and its noise.
      num_times: points of that grid.
      noise: instead of rng, {"t": [B, n], "eps": [B, n, ...]}; averaged over n.

    Returns:
      Terms with parts latent_0, latent_1, diffusion.
    """
    noise = draw(rng, z.shape, stratified, num_times) if noise is None else noise
    gamma_t, slope = jax.jvp(gamma, (noise["t"],), (jnp.ones_like(noise["t"]),))
    errors = squared_errors(eps_fn, gamma_t, z, noise["eps"])
    return _with_ends(-0.5 * jnp.mean(slope * errors, axis=1), gamma, z)


def discrete(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Array,
    rng: Array | None = None,
    *,
    num_steps: int,
    noise: Noise | None = None,
) -> Terms:
    """The bound of the model with T steps on the grid i/T.

    LT = T/2 E_i[expm1(gamma(i/T) - gamma((i-1)/T)) |eps - eps_hat|^2] (VDM, Eq. 13-14).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: [B, ...].
      rng: sums over all T steps per example, fresh noise for each.
      num_steps: T.
      noise: instead of rng, {"t": [B, n], "eps": [B, n, ...]}; t falls into step 1 + floor(T t)
        and the sum over steps is estimated as T times the mean over n.

    Returns:
      Terms with parts latent_0, latent_1, diffusion.
    """
    if noise is None:
        noise = draw(rng, z.shape, lambda _, num, steps: every_step(num, steps), num_steps)
    step = 1 + jnp.floor(num_steps * noise["t"])
    gamma_t, gamma_s = gamma(step / num_steps), gamma((step - 1) / num_steps)
    errors = squared_errors(eps_fn, gamma_t, z, noise["eps"])
    diffusion = -0.5 * num_steps * jnp.mean(jnp.expm1(gamma_t - gamma_s) * errors, axis=1)
    return _with_ends(diffusion, gamma, z)


def draw(rng: Array, z_shape: tuple[int, ...], grid: Callable, num_times: int) -> Noise:
    """Draws {"t": [B, n], "eps": [B, n, ...]} with times from `grid(rng, B, n)`."""
    time_rng, eps_rng = jax.random.split(rng)
    eps = jax.random.normal(eps_rng, (z_shape[0], num_times, *z_shape[1:]))
    return {"t": grid(time_rng, z_shape[0], num_times), "eps": eps}
