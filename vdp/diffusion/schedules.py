"""Noise schedules gamma(t) = -log SNR(t), increasing in t; all in float32.

Each maker returns a `Schedule`: `init()` gives its parameters, `gamma(params, t)` its value. The
same arguments give the same object, so that models of one config are equal and share programs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus
from jaxtyping import Float, Float64

from vdp.diffusion.process import Gamma
from vdp.errors import UserError, choose_from
from vdp.settings.rules import LogVariance, Size
from vdp.types import Array, Params

BETA_CLIP = 0.999
LIVE = ("all", "shape", "ends")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule, its parameters' start, and its endpoints before training.

    Attributes:
      init: () -> parameters; what bends gamma between its endpoints stands under "shape".
      gamma: (params, t) -> gamma(t), of t's shape; t in [0, 1] is an array or a number.
      initial_range: endpoints at the start of training.
      gamma_0_max: what the clean endpoint can never exceed.
      grid: number of steps a table of betas is defined on; 0 where every t is alike.
    """

    init: Callable[[], Params]
    gamma: Callable[[Params, Array | float], Array]
    initial_range: tuple[float, float]
    gamma_0_max: float
    grid: int = 0

    def bind(self, params: Params, *, live: str = "all") -> Gamma:
        """Returns t -> gamma(t) for these parameters.

        Args:
          params: of `init`.
          live: which parameters receive gradients: "all", "shape" (the inner shape alone) or
            "ends" (all but it).

        Raises:
          UserError: another `live`.
        """
        if live not in LIVE:
            raise choose_from("live", live, LIVE)
        if live != "all" and "shape" in params:
            frozen = {k: (k == "shape") != (live == "shape") for k in params}
            params = {k: jax.lax.stop_gradient(v) if frozen[k] else v for k, v in params.items()}
        return lambda t: self.gamma(params, t)

    def rescaled(self, gamma: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The denoiser's time input: gamma mapped to [0, 1000] by the *initial* endpoints."""
        low, high = self.initial_range
        return 1000.0 * (gamma - low) / (high - low)


def _once(maker: Callable[..., Schedule]) -> Callable[..., Schedule]:
    cached = functools.cache(maker)

    @functools.wraps(maker)
    def make(**arguments: Any) -> Schedule:
        return cached(**arguments)

    return make


def _check_range(gamma_0: float, **above: float) -> None:
    for name, value in above.items():
        if not gamma_0 < value:
            raise UserError(f"gamma_0 = {gamma_0} must lie below {name} = {value}")


def _inverse_softplus(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def _fixed(gamma: Gamma, gamma_0: float, gamma_1: float, *, grid: int = 0) -> Schedule:
    return Schedule(
        init=dict,
        gamma=lambda params, t: gamma(t),
        initial_range=(gamma_0, gamma_1),
        gamma_0_max=gamma_0,
        grid=grid,
    )


@_once
def linear(*, gamma_0: LogVariance = -10.0, gamma_1: LogVariance = 6.0) -> Schedule:
    """The fixed schedule gamma(t) = gamma_0 + (gamma_1 - gamma_0) t."""
    _check_range(gamma_0, gamma_1=gamma_1)

    def gamma(t: Any) -> Any:  # a number for a number, an array for an array
        return gamma_0 + (gamma_1 - gamma_0) * t

    return _fixed(gamma, gamma_0, gamma_1)


@_once
def cosine(*, gamma_0: LogVariance = -10.0, gamma_1: LogVariance = 6.0) -> Schedule:
    """The fixed gamma(t) = 2 log tan(a + b t) of these endpoints (Nichol & Dhariwal 2021)."""
    _check_range(gamma_0, gamma_1=gamma_1)
    start, left = math.atan(math.exp(gamma_0 / 2)), math.atan(math.exp(-gamma_1 / 2))
    slope = math.pi / 2 - left - start

    def gamma(t: Array | float) -> Array:
        """By the angle that is left to pi/2 beyond pi/4: float32 holds no angle close to pi/2."""
        angle, other = start + slope * t, left + slope * (1 - t)
        noisy = angle > other
        return jnp.where(noisy, -2.0, 2.0) * jnp.log(jnp.tan(jnp.where(noisy, other, angle)))

    return _fixed(gamma, gamma_0, gamma_1)


@_once
def beta_linear(*, num_steps: Size = 1000) -> Schedule:
    """The table of N betas from 1e-4 to 0.02, times 1000/N, clipped at 0.999 (Ho et al. 2020)."""
    betas = np.linspace(1e-4, 0.02, num_steps, dtype=np.float64) * 1000 / num_steps
    return _table(np.minimum(betas, BETA_CLIP))


@_once
def beta_cosine(*, num_steps: Size = 1000) -> Schedule:
    """The table with abar_i = f(i/N)/f(0), f(t) = cos^2((t + 0.008)/1.008 pi/2).

    Betas are clipped at 0.999; the clip puts a weight of 1/2 * 999 on the last step of the bound
    (Nichol & Dhariwal 2021).
    """
    t = np.arange(num_steps + 1, dtype=np.float64) / num_steps
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return _table(np.minimum(1 - f[1:] / f[:-1], BETA_CLIP))


def _table(betas: Float64[np.ndarray, "n"]) -> Schedule:
    """The fixed schedule of a table of N betas.

    gamma(i/N) = log(expm1(-sum log(1 - beta))), and gamma(0) = gamma(1/N): N betas are N - 1
    transitions and the end term. Elsewhere gamma is interpolated linearly in t.
    """
    num_steps = len(betas)
    if num_steps < 2:
        raise UserError(f"num_steps must be at least 2 for a table of betas, not {num_steps}")
    gamma = np.log(np.expm1(-np.cumsum(np.log1p(-betas))))
    gamma = np.concatenate([gamma[:1], gamma]).astype(np.float32)
    grid = np.arange(num_steps + 1, dtype=np.float32)
    return _fixed(
        lambda t: jnp.interp(t * num_steps, grid, gamma),
        float(gamma[0]),
        float(gamma[-1]),
        grid=num_steps,
    )


@_once
def learned_scalar(
    *, gamma_0: LogVariance = -10.0, gamma_1: LogVariance = 6.0, gamma_0_max: LogVariance = math.inf
) -> Schedule:
    """Linear in t with learned endpoints (VDM): gamma_1 = gamma_0 + softplus(span).

    Args:
      gamma_0: start of the clean endpoint.
      gamma_1: start of the noisy endpoint.
      gamma_0_max: a ceiling the clean endpoint never passes, gamma_0 = ceiling - softplus(.).
        A prior over z ~ q(z|x) needs one below the posterior's log-variance floor, because the
        modelled density cannot be sharper than exp(gamma_0). Infinite: gamma_0 is free.
    """
    return _learned(gamma_0, gamma_1, gamma_0_max, {}, lambda shape, t: t)


@_once
def learned_monotone(
    *,
    gamma_0: LogVariance = -10.0,
    gamma_1: LogVariance = 6.0,
    gamma_0_max: LogVariance = math.inf,
    width: Size = 64,
) -> Schedule:
    """Learned endpoints and a learned shape between them: a monotone network n (VDM, app. I.2).

    gamma(t) = gamma_0 + (gamma_1 - gamma_0) (n(t) - n(0))/(n(1) - n(0)), with n(t) = |w| t + a mean
    of |h_j| sigmoid(|s_j| (t - c_j)); the endpoints are met exactly.

    Args:
      gamma_0: start of the clean endpoint.
      gamma_1: start of the noisy endpoint.
      gamma_0_max: as in `learned_scalar`.
      width: number of sigmoids.
    """
    shape = {
        "weight": np.ones((), np.float32),
        "height": np.full((width,), 0.1, np.float32),
        "steepness": np.full((width,), 8.0, np.float32),
        "centre": np.linspace(0, 1, width, dtype=np.float32),
    }

    def network(params: Params, t: Array | float) -> Array:
        t = jnp.asarray(t, jnp.float32)
        units = lambda name: jnp.expand_dims(params[name], tuple(range(t.ndim)))
        steps = jax.nn.sigmoid(jnp.abs(units("steepness")) * (t[..., None] - units("centre")))
        return jnp.abs(params["weight"]) * t + (steps * jnp.abs(units("height"))).mean(-1)

    def bend(params: Params, t: Array | float) -> Array:
        start, end = network(params, 0.0), network(params, 1.0)
        return (network(params, t) - start) / (end - start)

    return _learned(gamma_0, gamma_1, gamma_0_max, {"shape": shape}, bend)


def _learned(
    gamma_0: float,
    gamma_1: float,
    gamma_0_max: float,
    shape: dict[str, np.ndarray | dict[str, np.ndarray]],
    bend: Callable[[Params, Array | float], Array | float],
) -> Schedule:
    """A schedule of learned endpoints, bent between them.

    Args:
      gamma_0: start of the clean endpoint.
      gamma_1: start of the noisy endpoint.
      gamma_0_max: as in `learned_scalar`.
      shape: the start of what bends it, {"shape": parameters} or {}.
      bend: (parameters under "shape", t) -> share of the way from gamma_0 to gamma_1.
    """
    _check_range(gamma_0, gamma_1=gamma_1, gamma_0_max=gamma_0_max)
    bounded = math.isfinite(gamma_0_max)
    low_start = _inverse_softplus(gamma_0_max - gamma_0) if bounded else gamma_0

    def init() -> Params:
        span = _inverse_softplus(gamma_1 - gamma_0)
        ends = {"low": jnp.float32(low_start), "span": jnp.float32(span)}
        return ends | jax.tree.map(jnp.asarray, shape)

    def gamma(params: Params, t: Array | float) -> Array:
        low = gamma_0_max - softplus(params["low"]) if bounded else params["low"]
        return low + softplus(params["span"]) * bend(params.get("shape"), t)

    return Schedule(
        init=init, gamma=gamma, initial_range=(gamma_0, gamma_1), gamma_0_max=gamma_0_max
    )
