"""Samplers of y_0, from noise at t = 1 down a grid of T equal steps; one `lax.scan` each.

Each returns (y_0 [N, ...], denoised [T, N, ...]): the second holds z_hat at every step, from noise
to clean; what is not used of it costs nothing in a compiled program. All that is random is drawn
with `rng`, step by step, or given as `noise`, which `noise.draw_for` draws of the same key: a
`Descent` where steps are random, else a `Start`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp import draws
from vdp.diffusion import ode, process
from vdp.diffusion.noise import DRAWN_BY, Descent, start_of
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.reverse import whole
from vdp.errors import UserError, choose_from
from vdp.noise import expect, expect_shape, required
from vdp.types import Array, Key, Noise, Shape

Samples = tuple[Float[Array, "n *s"], Float[Array, "t n *s"]]  # y_0, and z_hat at every step
NAMES = ("ancestral", "ddim", "dpmpp", "ode")


def check(
    *,
    sampler: str = "",
    sampler_steps: int = 0,
    eta: float = 0.0,
    temperature: float = 1.0,
    clip: float = 0.0,
) -> None:
    """Refuses options that mean nothing.

    Args:
      sampler: one of NAMES, or "" for the prior's.
      sampler_steps: T, or 0 for the prior's.
      eta: of ddim, in [0, 1].
      temperature: of ancestral steps, at least 0.
      clip: of z_hat at every step, at least 0; 0 leaves it as it is.

    Raises:
      UserError: an option out of its range, or of another sampler.
    """
    if sampler and sampler not in NAMES:
        raise choose_from("sampler", sampler, NAMES)
    if sampler_steps < 0 or not 0 <= eta <= 1:
        raise UserError("sampler_steps must not be negative, and eta lies in [0, 1]")
    if eta and sampler != "ddim":
        raise UserError(f"eta={eta} belongs to sampler='ddim'")
    if temperature < 0 or (temperature != 1 and sampler not in ("", "ancestral")):
        raise UserError(
            f"temperature={temperature} must not be negative, and belongs to sampler='ancestral'"
        )
    if not clip >= 0 or (clip and sampler == "ode"):
        raise UserError(f"clip={clip} must not be negative, and is not of sampler='ode'")


def draw(
    sampler: str,
    eps_fn: EpsFn,
    gamma: Gamma,
    rng: Key | None,
    shape: Shape,
    *,
    num_steps: int,
    eta: float = 0.0,
    temperature: float = 1.0,
    clip: float = 0.0,
    log_v: Float[Array, "t ..."] | None = None,
    noise: Noise = None,
) -> Samples:
    """Draws (y_0, denoised) by the sampler of that name; "ode" shows its end alone.

    Args:
      sampler: one of NAMES.
      eps_fn: the denoiser.
      gamma: the schedule.
      rng: a key.
      shape: of y_0, (N, ...).
      num_steps: T, or the steps of the ODE's solver.
      eta: of ddim.
      temperature: of ancestral.
      clip: z_hat is clipped to [-clip, clip] at every step, as DDPM's program does with images; 0
        leaves it. What is drawn then is not of the model that any bound belongs to.
      log_v: of ancestral.
      noise: of `noise.draw_for` the same sampler and shape, instead of rng.

    Raises:
      UserError: as of `check`, or a noise of another sampler, shape or T.
    """
    check(sampler=sampler, sampler_steps=num_steps, eta=eta, temperature=temperature, clip=clip)
    if clip:
        eps_fn = _clipped(eps_fn, clip)
    if sampler == "ode":
        y_0 = ode.sample(eps_fn, gamma, rng, shape, num_steps=num_steps, noise=noise)
        return y_0, y_0[None]
    of_name: dict[str, Callable[..., Samples]] = {
        "ancestral": functools.partial(ancestral, temperature=temperature, log_v=log_v),
        "ddim": functools.partial(ddim, eta=eta),
        "dpmpp": dpmpp,
    }
    return of_name[sampler](eps_fn, gamma, rng, shape, num_steps=num_steps, noise=noise)


def _clipped(eps_fn: EpsFn, clip: float) -> EpsFn:
    """The noise that a clipped z_hat stands for."""

    def apply(y: Float[Array, "n *s"], gamma: Float[Array, "n"]) -> Float[Array, "n *s"]:
        z_hat = jnp.clip(process.denoise(y, gamma, eps_fn(y, gamma)), -clip, clip)
        return process.to_eps(z_hat, y, gamma, "x0")

    return apply


def _descend(
    gamma: Gamma,
    shape: Shape,
    num_steps: int,
    carry: Any,
    update: Callable[[Any, Array, Array, Any], tuple[Any, Array]],
    random: Any = None,
) -> tuple[Any, Float[Array, "t n *s"]]:
    """Scans `update(carry, gamma_t, gamma_s, random) -> (carry, z_hat)` from t = 1 to 0.

    `random`, T keys or arrays of noise or None, comes to the steps one by one.
    """

    def step(carry: Any, xs: tuple[Array, Any]) -> tuple[Any, Array]:
        index, random = xs
        gamma_t = jnp.broadcast_to(gamma(index / num_steps), shape[:1])
        gamma_s = jnp.broadcast_to(gamma((index - 1) / num_steps), shape[:1])
        return update(carry, gamma_t, gamma_s, random)

    steps = jnp.arange(num_steps, 0, -1).astype(jnp.float32)
    return jax.lax.scan(step, carry, (steps, random))


def _random(
    rng: Key | None, noise: Noise, shape: Shape, num_steps: int, by: str
) -> tuple[Float[Array, "n *s"], Any, Callable[[Any], Float[Array, "n *s"]]]:
    """(y_1, what `_descend` takes for its steps, how a step makes its noise of that).

    Keys and not arrays are scanned where nothing is given: the noise of T steps never stands in
    memory together.
    """
    if noise is None:
        start_rng, path_rng = jax.random.split(required(rng, by=by))
        start, keys = draws.normal(start_rng, shape), jax.random.split(path_rng, num_steps)
        return start, keys, lambda key: draws.normal(key, shape)
    expect(noise, Descent, by=by, instead=DRAWN_BY)
    expect_shape(noise.steps, (shape[0], num_steps, *shape[1:]), by=by)
    return noise.y_1, jnp.moveaxis(noise.steps, 1, 0), lambda given: given


def ancestral(
    eps_fn: EpsFn,
    gamma: Gamma,
    rng: Key | None,
    shape: Shape,
    *,
    num_steps: int,
    temperature: float = 1.0,
    log_v: Float[Array, "t ..."] | None = None,
    noise: Noise = None,
) -> Samples:
    """Draws y_0 from the T-step model itself (DDPM, VDM).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      rng: a key.
      shape: of y_0, (N, ...).
      num_steps: T; the T of the model these are samples of.
      temperature: factor on the standard deviation of every step, but not of y_1.
      log_v: the widths of the reverse steps (`vdp.diffusion.reverse`); None: those of q.
      noise: a `Descent` of T steps instead of rng.
    """
    start, random, drawn = _random(rng, noise, shape, num_steps, "the ancestral sampler")

    def update(y: Array, gamma_t: Array, gamma_s: Array, xs: Any) -> tuple[Array, Array]:
        random, width = xs
        eps_hat = eps_fn(y, gamma_t)
        mean, std = process.reverse_moments(y, eps_hat, gamma_t, gamma_s)
        std = std if width is None else std * jnp.exp(0.5 * width[None])
        return mean + temperature * std * drawn(random), process.denoise(y, gamma_t, eps_hat)

    widths = None if log_v is None else whole(log_v, shape[1:])[::-1]
    return _descend(gamma, shape, num_steps, start, update, (random, widths))


def ddim(
    eps_fn: EpsFn,
    gamma: Gamma,
    rng: Key | None,
    shape: Shape,
    *,
    num_steps: int,
    eta: float = 0.0,
    noise: Noise = None,
) -> Samples:
    """DDIM (Song et al. 2021): deterministic for eta = 0, ancestral for eta = 1.

    y_s = alpha_s z_hat + sigma_s sqrt(1 - eta^2 k) eps_hat + eta sigma_s sqrt(k) n with
    k = -expm1(gamma_s - gamma_t). For eta < 1 these are not samples of the T-step model.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      rng: a key.
      shape: of y_0, (N, ...).
      num_steps: steps from t = 1 to 0.
      eta: share of the ancestral step's noise, in [0, 1].
      noise: instead of rng, a `Descent` of as many steps, or for eta = 0 a `Start`.
    """
    by = f"the sampler ddim with eta={eta}"
    start: Array
    random: Any
    drawn: Callable[[Any], Any]
    if noise is not None and not eta:
        start, random, drawn = start_of(noise, None, shape, by=by), None, lambda _: 0.0
    else:
        start, random, drawn = _random(rng, noise, shape, num_steps, by)

    def update(y: Array, gamma_t: Array, gamma_s: Array, random: Any) -> tuple[Array, Array]:
        eps_hat = eps_fn(y, gamma_t)
        z_hat = process.denoise(y, gamma_t, eps_hat)
        wide_t, wide_s = process.expand(gamma_t, y), process.expand(gamma_s, y)
        k = -jnp.expm1(wide_s - wide_t)
        direction = process.sigma(wide_s) * jnp.sqrt(1 - eta**2 * k) * eps_hat
        fresh = eta * process.sigma(wide_s) * jnp.sqrt(k) * drawn(random)
        return process.alpha(wide_s) * z_hat + direction + fresh, z_hat

    return _descend(gamma, shape, num_steps, start, update, random)


def dpmpp(
    eps_fn: EpsFn,
    gamma: Gamma,
    rng: Key | None,
    shape: Shape,
    *,
    num_steps: int,
    noise: Noise = None,
) -> Samples:
    """DPM-Solver++(2M) (Lu et al. 2022): deterministic, second order in lambda = -gamma/2.

    With h = lambda_s - lambda_t and D = z_hat + h/(2 h_prev) (z_hat - z_hat_prev), first step
    D = z_hat: y_s = sigma_s/sigma_t y_t - alpha_s expm1(-h) D.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      rng: a key, of the noise at t = 1.
      shape: of y_0, (N, ...).
      num_steps: steps from t = 1 to 0.
      noise: a `Start` instead of rng.
    """

    def update(
        carry: tuple[Array, Array, Array], gamma_t: Array, gamma_s: Array, _: None
    ) -> tuple[tuple[Array, Array, Array], Array]:
        y, previous, h_previous = carry
        z_hat = process.denoise(y, gamma_t, eps_fn(y, gamma_t))
        wide_t, wide_s = process.expand(gamma_t, y), process.expand(gamma_s, y)
        h = 0.5 * (wide_t - wide_s)
        slope = jnp.where(h_previous > 0, 0.5 * h / jnp.where(h_previous > 0, h_previous, 1.0), 0.0)
        d = z_hat + slope * (z_hat - previous)
        shrunk = process.sigma(wide_s) / process.sigma(wide_t) * y
        return (shrunk - process.alpha(wide_s) * jnp.expm1(-h) * d, z_hat, h), z_hat

    start = start_of(noise, rng, shape, by="the sampler dpmpp")
    no_step = jnp.zeros((shape[0],) + (1,) * (len(shape) - 1))
    carry = (start, jnp.zeros(shape), no_step)
    (y_0, _, _), denoised = _descend(gamma, shape, num_steps, carry, update)
    return y_0, denoised
