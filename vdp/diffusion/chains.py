"""T-step chains of one denoiser: the gammas they stop at, and the widths of their steps.

- "fixed": even times of the schedule, and the width of q in every step (DDPM, VDM).
- "calibrated": even times, and the widths that make the bound highest on training images
  (`vdp.diffusion.reverse`; Bao et al. 2022).
- "optimised": these widths, at the gammas that make the bound highest (Watson et al. 2021); with
  more steps than there are candidates, the calibrated chain.
- "learned": gammas and widths are parameters of one T, trained with the bound of T steps.

The second and third are fitted to a table of the denoiser's squared errors, measured after
training: {"gamma": [M + 1], increasing, "square": [M + 1, *s], mean squares of eps - eps_hat}; an
axis of size 1 is shared by all coefficients along it.
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from vdp.diffusion import process, reverse
from vdp.diffusion.process import Gamma
from vdp.dists import sum_nonbatch
from vdp.types import Array, Params, Shape

TRAINED = ("fixed", "learned")
FITTED = ("calibrated", "optimised")  # to a table of errors
MOST_WIDTHS = 1024  # coefficients that have widths of their own; of larger latents all share one
SMALLEST_ERROR = 1e-12
SMALLEST_SHARE = 1e-6  # of gamma's range that a step of a learned chain starts with


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain of T steps.

    Attributes:
      gamma: of the chain, at t = i/T.
      log_v: the widths, as of `vdp.diffusion.reverse`; None: those of q.
    """

    gamma: Gamma
    log_v: Float[Array, "t ..."] | None = None


def calibrated(gamma: Gamma, errors: Mapping[str, Array], num_steps: int) -> Chain:
    """The chain at even times with the widths that are best for a table of errors.

    Args:
      gamma: the schedule.
      errors: the table.
      num_steps: T.
    """
    gammas = jnp.asarray(gamma(jnp.arange(num_steps + 1) / num_steps))
    return Chain(gamma=gamma, log_v=reverse.best(errors_at(errors, gammas[1:]), gammas))


def optimised(gamma: Gamma, errors: Mapping[str, Array], num_steps: int, shape: Shape) -> Chain:
    """The chain of the highest bound among all that stop at gammas of a table of errors.

    Args:
      gamma: the schedule.
      errors: the table.
      num_steps: T; where it is the table's number of intervals or more, there is nothing to choose.
      shape: of one latent.
    """
    if num_steps >= len(errors["gamma"]) - 1:
        return calibrated(gamma, errors, num_steps)
    stops = cheapest(step_costs(errors, shape), num_steps)
    gammas = errors["gamma"][stops]
    return Chain(gamma=through(gammas), log_v=reverse.best(errors["square"][stops[1:]], gammas))


def errors_at(errors: Mapping[str, Array], gammas: Float[Array, "t"]) -> Float[Array, "t ..."]:
    """A table's errors at other gammas, [T, *s], interpolated with logs linear in gamma."""
    known, logs = errors["gamma"], jnp.log(jnp.maximum(errors["square"], SMALLEST_ERROR))
    index = jnp.clip(jnp.searchsorted(known, gammas, side="right") - 1, 0, len(known) - 2)
    width = known[index + 1] - known[index]
    share = jnp.where(width > 0, (gammas - known[index]) / jnp.where(width > 0, width, 1.0), 1.0)
    share = process.expand(jnp.clip(share, 0.0, 1.0), logs[index])
    return jnp.exp((1 - share) * logs[index] + share * logs[index + 1])


def step_costs(errors: Mapping[str, Array], shape: Shape) -> Float[Array, "m m"]:
    """Nats that a step from gamma_j down to gamma_i costs at its best width; inf unless i < j.

    At [i, j]: 1/2 sum_d log(1 + expm1(gamma_j - gamma_i) m_jd), the KL of `reverse` at
    v = 1 + w m, for latents of `shape`.
    """
    gamma, square = errors["gamma"], errors["square"]
    shared = math.prod(shape) / square[0].size

    def to(j: Int[Array, ""]) -> Float[Array, "m"]:
        w = jnp.expm1(gamma[j] - gamma)
        nats = sum_nonbatch(
            jnp.log1p(jnp.maximum(process.expand(w, square), 0.0) * square[j][None])
        )
        return jnp.where(jnp.arange(len(gamma)) < j, 0.5 * shared * nats, jnp.inf)

    return jax.lax.map(to, jnp.arange(len(gamma))).T


def cheapest(costs: Float[Array, "m m"], num_steps: int) -> Int[Array, "t"]:
    """The T + 1 stops from 0 to M - 1 whose T steps cost least together, by dynamic programming."""

    def one_more(best: Float[Array, "m"], _: None) -> tuple[Float[Array, "m"], Int[Array, "m"]]:
        total = best[:, None] + costs
        return jnp.min(total, axis=0), jnp.argmin(total, axis=0)

    start = jnp.full(len(costs), jnp.inf).at[0].set(0.0)
    _, before = jax.lax.scan(one_more, start, None, length=num_steps)
    back = lambda stop, row: (row[stop], stop)
    _, ends = jax.lax.scan(back, jnp.int32(len(costs) - 1), before, reverse=True)
    return jnp.concatenate([jnp.zeros(1, jnp.int32), ends])


def through(gammas: Float[Array, "t"]) -> Gamma:
    """A schedule that is gammas[i] at t = i/T, and is not to be used in between."""
    last = len(gammas) - 1
    return lambda t: gammas[jnp.round(jnp.asarray(t) * last).astype(jnp.int32)]


def widths_shape(shape: Shape) -> Shape:
    """The shape of the widths of one step, for latents of `shape`: of large ones all axes are 1."""
    return tuple(shape) if math.prod(shape) <= MOST_WIDTHS else (1,) * len(shape)


def as_learned(chain: Chain, num_steps: int, shape: Shape) -> Params:
    """Parameters of a learned chain that starts as another chain of T steps.

    Args:
      chain: the other one.
      num_steps: T.
      shape: of one latent.

    Returns:
      {"log_v": [T, *widths_shape], "times": [T], logs of the share of gamma's range that each step
      has, up to a constant}.
    """
    gammas = chain.gamma(jnp.arange(num_steps + 1) / num_steps)
    shares = jnp.diff(gammas) / (gammas[-1] - gammas[0])
    log_v = jnp.zeros((num_steps, *widths_shape(shape))) if chain.log_v is None else chain.log_v
    return {"log_v": log_v, "times": jnp.log(jnp.maximum(shares, SMALLEST_SHARE))}


def learned(gamma: Gamma, params: Params) -> Chain:
    """The chain of these parameters between the ends of a schedule."""
    low, high = (jnp.asarray(gamma(jnp.float32(t))) for t in (0, 1))
    shares = jnp.cumsum(jax.nn.softmax(params["times"]))
    inner = low + (high - low) * shares[:-1]
    return Chain(
        gamma=through(jnp.concatenate([low[None], inner, high[None]])), log_v=params["log_v"]
    )
