"""Samplers of y_0, from noise at t = 1 down a grid of T equal steps; one `lax.scan` each."""

import jax
import jax.numpy as jnp

from vdp.diffusion import process
from vdp.diffusion.bounds import EpsFn, Gamma
from vdp.types import Array


def ancestral(
    eps_fn: EpsFn, gamma: Gamma, rng: Array, shape: tuple[int, ...], *, num_steps: int
) -> Array:
    """Draws y_0 from the T-step model itself (DDPM, VDM).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      rng: a key.
      shape: of the result, [N, ...].
      num_steps: T; the T of the model these are samples of.

    Returns:
      y_0; the latent is drawn from N(y_0/alpha_0, exp gamma_0).
    """
    start_rng, path_rng = jax.random.split(rng)

    def step(y, xs):
        index, step_rng = xs
        gamma_t = jnp.broadcast_to(gamma(index / num_steps), shape[:1])
        gamma_s = jnp.broadcast_to(gamma((index - 1) / num_steps), shape[:1])
        mean, std = process.reverse_moments(y, eps_fn(y, gamma_t), gamma_t, gamma_s)
        return mean + std * jax.random.normal(step_rng, shape), None

    steps = jnp.arange(num_steps, 0, -1).astype(jnp.float32)
    start = jax.random.normal(start_rng, shape)
    y_0, _ = jax.lax.scan(step, start, (steps, jax.random.split(path_rng, num_steps)))
    return y_0
