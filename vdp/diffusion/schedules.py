"""Noise schedules gamma(t) = -log SNR(t), increasing in t; all in float32.

Each function returns a `Schedule`: `init()` gives its parameters, `gamma(params, t)` its value.
"""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
from jax.nn import softplus

from vdp.types import Array, Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule, its parameters' start, and its endpoints before training."""

    init: Callable[[], Params]
    gamma: Callable[[Params, Array], Array]
    initial_range: tuple[float, float]
    gamma_0_max: float  # what the clean endpoint can never exceed

    def bind(self, params: Params) -> Callable[[Array], Array]:
        """Returns t -> gamma(t) for these parameters."""
        return lambda t: self.gamma(params, t)

    def rescaled(self, gamma: Array) -> Array:
        """The denoiser's time input: gamma mapped to [0, 1000] by the *initial* endpoints."""
        low, high = self.initial_range
        return 1000.0 * (gamma - low) / (high - low)


def _check_range(gamma_0: float, gamma_1: float) -> None:
    if not gamma_0 < gamma_1:
        raise ValueError(f"gamma_0 = {gamma_0} must lie below gamma_1 = {gamma_1}")


def _inverse_softplus(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def linear(*, gamma_0: float = -10.0, gamma_1: float = 6.0) -> Schedule:
    """gamma(t) = gamma_0 + (gamma_1 - gamma_0) t, fixed."""
    _check_range(gamma_0, gamma_1)
    return Schedule(
        init=dict,
        gamma=lambda params, t: gamma_0 + (gamma_1 - gamma_0) * t,
        initial_range=(gamma_0, gamma_1),
        gamma_0_max=gamma_0,
    )


def learned_scalar(
    *, gamma_0: float = -10.0, gamma_1: float = 6.0, gamma_0_max: float = math.inf
) -> Schedule:
    """Linear in t with learned endpoints (VDM): gamma_1 = gamma_0 + softplus(span).

    Args:
      gamma_0: start of the clean endpoint.
      gamma_1: start of the noisy endpoint.
      gamma_0_max: a ceiling the clean endpoint never passes, gamma_0 = ceiling - softplus(.).
        A prior over z ~ q(z|x) needs one below the posterior's log-variance floor, because the
        modelled density cannot be sharper than exp(gamma_0). Infinite: gamma_0 is free.
    """
    _check_range(gamma_0, gamma_1)
    _check_range(gamma_0, gamma_0_max)
    bounded = math.isfinite(gamma_0_max)
    low_start = _inverse_softplus(gamma_0_max - gamma_0) if bounded else gamma_0

    def init() -> Params:
        span = _inverse_softplus(gamma_1 - gamma_0)
        return {"low": jnp.float32(low_start), "span": jnp.float32(span)}

    def gamma(params: Params, t: Array) -> Array:
        low = gamma_0_max - softplus(params["low"]) if bounded else params["low"]
        return low + softplus(params["span"]) * t

    return Schedule(
        init=init, gamma=gamma, initial_range=(gamma_0, gamma_1), gamma_0_max=gamma_0_max
    )
