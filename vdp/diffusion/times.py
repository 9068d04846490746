"""Where in [0, 1) the diffusion loss is looked at, always as [B, n] for n times per example."""

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Float, Int

from vdp import draws
from vdp.diffusion.noise import AllSteps, Quantiles, Times
from vdp.diffusion.process import Gamma
from vdp.errors import UserError
from vdp.types import Array, Key


def low_discrepancy(rng: Key, num: int, num_times: int) -> Float[Array, "{num} {num_times}"]:
    """One grid over the global batch, randomly shifted and dealt out: [num, num_times].

    t_b = (t_0 + b/N) mod 1 with b permuted (VDM, appendix I.1), N = num num_times; every t_b is
    uniform on its own. For training: the times of one batch are dependent, so never a standard
    error over them.
    """
    shift_rng, order_rng = jax.random.split(rng)
    order = jax.random.permutation(order_rng, num * num_times)
    grid = (jax.random.uniform(shift_rng) + order / len(order)) % 1.0
    return grid.reshape(num, num_times)


def stratified(rng: Key, num: int, num_times: int) -> Float[Array, "{num} {num_times}"]:
    """For each example its own fresh grid, one uniform draw per stratum: [num, num_times]."""
    shifts = draws.uniform(rng, (num, num_times))
    return (jnp.arange(num_times)[None] + shifts) / num_times


def by_importance(gamma: Gamma) -> Gamma:
    """Returns u -> gamma that spends u in [0, 1] where the loss of N(0, I) data is (LSGM).

    The loss of its best denoiser at gamma is proportional to alpha^2, so log sigma^2 rises
    linearly in u: Vahdat et al. 2021, section 3.3. In continuous time the bound is the same for
    every path between two endpoints, so this is importance sampling of the times: the density's
    inverse is in d gamma / du.
    """
    ends = [-softplus(-gamma(jnp.float32(t))) for t in (0, 1)]

    def warped(u: Float[Array, "*t"] | float) -> Float[Array, "*t"]:
        log_var = ends[0] * (1 - u) + ends[1] * u  # never rounds up to 0, where gamma is infinite
        return log_var - jnp.log(-jnp.expm1(log_var))

    return warped


def step_probabilities(gammas: Float[Array, "n"]) -> Float[Array, "n-1"]:
    """Probabilities of T steps by that idea: p_i ~ expm1(gamma_i - gamma_{i-1}) alpha_i^2.

    Args:
      gammas: gamma(i/T) for i = 0..T, [T + 1].

    Returns:
      [T] probabilities; no gradient flows through them.
    """
    expected = jnp.expm1(jnp.diff(gammas)) * jax.nn.sigmoid(-gammas[1:])
    return jax.lax.stop_gradient(expected / expected.sum())


def steps_of(
    gamma: Gamma, noise: Times | Quantiles | AllSteps, num_steps: int
) -> tuple[Float[Array, "b n"], Float[Array, "b n"], Float[Array, "b n"] | int, Int[Array, "b n"]]:
    """Which of T steps the times of a noise fall into.

    Args:
      gamma: the schedule.
      noise: t falls into step 1 + floor(T t); of `AllSteps` each step is its own.
      num_steps: T.

    Returns:
      (gamma at the end of the steps [B, n], at their start [B, n], one over their probabilities,
      their indices 0..T-1 [B, n]).

    Raises:
      UserError: `AllSteps` of another T.
    """
    if isinstance(noise, Quantiles):
        gammas = gamma(jnp.arange(num_steps + 1) / num_steps)
        probabilities = step_probabilities(gammas)
        index = jnp.searchsorted(jnp.cumsum(probabilities), noise.u, side="right")
        index = jnp.minimum(index, num_steps - 1)  # the sum of probabilities may round below u
        return gammas[index + 1], gammas[index], 1 / probabilities[index], index
    if isinstance(noise, AllSteps):
        batch, steps = noise.eps.shape[:2]
        if steps != num_steps:
            raise UserError(f"noise of all {steps} steps is not that of a model of {num_steps}")
        step = jnp.broadcast_to(jnp.arange(1.0, num_steps + 1), (batch, num_steps))
    else:
        step = jnp.minimum(1 + jnp.floor(num_steps * noise.t), num_steps)  # t may round to 1
    index = step.astype(jnp.int32) - 1
    return gamma(step / num_steps), gamma((step - 1) / num_steps), num_steps, index
