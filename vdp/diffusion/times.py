"""Where in [0, 1) the diffusion loss is looked at, always as [B, n] for n times per example."""

import jax
import jax.numpy as jnp

from vdp.types import Array


def low_discrepancy(rng: Array, num: int) -> Array:
    """One grid over the global batch, randomly shifted and dealt out: [num, 1].

    t_b = (t_0 + b/num) mod 1 with b permuted (VDM, appendix I.1); every t_b is uniform on its own.
    For training: the times of one batch are dependent, so never a standard error over them.
    """
    shift_rng, order_rng = jax.random.split(rng)
    order = jax.random.permutation(order_rng, num)
    return ((jax.random.uniform(shift_rng) + order / num) % 1.0)[:, None]


def stratified(rng: Array, num: int, num_times: int) -> Array:
    """For each example its own fresh grid, one uniform draw per stratum: [num, num_times]."""
    shifts = jax.random.uniform(rng, (num, num_times))
    return (jnp.arange(num_times) + shifts) / num_times


def every_step(num: int, num_steps: int) -> Array:
    """The middle of every one of T steps for every example: [num, num_steps]."""
    middles = (jnp.arange(num_steps) + 0.5) / num_steps
    return jnp.broadcast_to(middles, (num, num_steps))
