"""Lower bounds on log r(z) of a diffusion model, as named parts in nats.

`latent_0` = -L0, `latent_1` = -L1 and `diffusion` = -LT with, for z of D dimensions,
L1 = 1/2 sum(sigma_1^2 + alpha_1^2 z^2 - 1 - log sigma_1^2) and the closed form
L0 = D/2 (1 + log 2 pi + gamma_0) of -E log N(z; y_0/alpha_0, exp gamma_0).

Both bounds are made of `Times` or `Quantiles` and averaged over them; that of T steps also of
`AllSteps`, which it sums over. Every other noise is refused.

`weights` says what the gradient is; the values are the bound's always:
  "bound"       the gradient of the value.
  "simple"      the denoiser sees |eps - eps_hat|^2 of equal weight at every time (Ho et al. 2020);
                z (encoder and decoder) and the schedule keep the gradient of the bound.
  "simple_all"  z sees the equal weights too: what is then optimised is not a bound.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jax.nn import softplus
from jaxtyping import Float, Float32

from vdp import draws
from vdp.diffusion import process, reverse
from vdp.diffusion.noise import AllSteps, Quantiles, Times
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.times import by_importance, steps_of, stratified
from vdp.dists import LOG_2PI, sum_nonbatch
from vdp.errors import UserError, choose_from
from vdp.noise import expect, required
from vdp.types import Array, Key, Noise, Shape, Terms

WEIGHTS = ("bound", "simple", "simple_all")
DRAWN_BY = "a prior of this bound draws it for purpose='loss' and 'elbo'"


def latent_0(gamma_0: Float[Array, ""], z: Float[Array, "b *s"]) -> Float32[Array, "b"]:
    """The part -L0 = -D/2 (1 + log 2 pi + gamma_0), [B]; a constant, never a sample."""
    dims = z[0].size
    return jnp.full(z.shape[0], -0.5 * dims * (1 + LOG_2PI + gamma_0), jnp.float32)


def latent_1(gamma_1: Float[Array, ""], z: Float[Array, "b *s"]) -> Float32[Array, "b"]:
    """The part -L1 = -KL(q(y_1|z) || N(0, I)), exact, [B]."""
    log_var = -softplus(-gamma_1)
    alpha2 = jnp.exp(-softplus(gamma_1))
    return -0.5 * sum_nonbatch(jnp.exp(log_var) + alpha2 * jnp.square(z) - 1 - log_var)


def _scale_gradient(x: Float[Array, "*s"], factor: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """Returns x itself, with its cotangent multiplied by `factor`."""
    value = stop_gradient(x)
    return value + factor * (x - value)  # the difference is 0, so the value is x to the last bit


def weighted_errors(
    eps_fn: EpsFn,
    gamma_t: Float[Array, "b n"],
    factor: Float[Array, "b n"],
    z: Float[Array, "b *s"],
    eps: Float[Array, "b n *s"],
    weights: str = "bound",
    *,
    sequential: bool = False,
    precision: Float[Array, "b n *s"] | None = None,
) -> Float32[Array, "b n"]:
    """The denoiser's weighted errors factor * |eps - eps_hat(y_t, gamma_t)|^2, [B, n].

    Args:
      eps_fn: the denoiser.
      gamma_t: noise levels, [B, n].
      factor: the bound's weights, [B, n].
      z: latents or codes, [B, ...].
      eps: what they are diffused with, [B, n, ...].
      weights: one of WEIGHTS; see the top of the module.
      sequential: one time after the other instead of all at once: a batch's memory for large z.
      precision: factors of the square of every coefficient, [B, n, ...]; None: all are 1.

    Raises:
      UserError: other weights.
    """
    if weights not in WEIGHTS:
        raise choose_from("weights", weights, WEIGHTS)
    if sequential and gamma_t.shape[1] > 1:
        one_time = lambda xs: weighted_errors(
            eps_fn, xs[0], xs[1], z, xs[2], weights, precision=xs[3]
        )
        alone = lambda x: jnp.swapaxes(x, 0, 1)[:, :, None]
        each = jax.lax.map(one_time, jax.tree.map(alone, (gamma_t, factor, eps, precision)))
        return jnp.swapaxes(each[..., 0], 0, 1)
    batch, num_times = gamma_t.shape
    flat = lambda x: x.reshape(batch * num_times, *x.shape[2:])
    flat_eps, flat_gamma, flat_z = flat(eps), flat(gamma_t), jnp.repeat(z, num_times, axis=0)
    if weights != "bound":
        true = stop_gradient(flat(factor))
        flat_gamma = _scale_gradient(flat_gamma, true)
        if weights == "simple":
            flat_z = _scale_gradient(flat_z, process.expand(true, flat_z))
    y = process.diffuse(flat_z, flat_gamma, flat_eps)
    squares = jnp.square(flat_eps - eps_fn(y, flat_gamma))
    squares = squares if precision is None else squares * flat(precision)
    errors = sum_nonbatch(squares).reshape(batch, num_times)
    if weights == "bound":
        return factor * errors
    value = factor * stop_gradient(errors)
    return value + (errors - stop_gradient(errors))


def _with_ends(losses: Float[Array, "b n"], gamma: Gamma, z: Float[Array, "b *s"]) -> Terms:
    """The bound's three parts, of the diffusion loss at n times."""
    zero, one = jnp.float32(0), jnp.float32(1)
    return Terms.of(
        latent_0=latent_0(gamma(zero), z),
        latent_1=latent_1(gamma(one), z),
        diffusion=-jnp.mean(losses, axis=1),
    )


def _check_weights(noise: Times | Quantiles | AllSteps, weights: str) -> None:
    if isinstance(noise, Quantiles) and weights != "bound":
        raise UserError(
            f"weights={weights!r} count every time alike, and Quantiles lie closer where the bound "
            "weighs more: importance-sampled times need weights='bound'"
        )


def _gamma_and_slope(
    gamma: Gamma, noise: Times | Quantiles
) -> tuple[Float[Array, "b n"], Float[Array, "b n"]]:
    """Gamma at the noise's times, and its derivative there by what the times are uniform in."""
    if isinstance(noise, Quantiles):
        gamma, times = by_importance(gamma), noise.u
    else:
        times = noise.t
    return jax.jvp(gamma, (times,), (jnp.ones_like(times),))


def continuous(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    rng: Key | None = None,
    *,
    num_times: int = 32,
    noise: Noise = None,
    weights: str = "bound",
    sequential: bool = False,
) -> Terms:
    """The bound in continuous time: LT = 1/2 E[gamma'(t) |eps - eps_hat|^2] (VDM, Eq. 17).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule, differentiated by `jax.jvp`.
      z: latents or codes, [B, ...].
      rng: draws a fresh stratified grid per example and its noise.
      num_times: points of that grid.
      noise: `Times` or `Quantiles`, instead of rng.
      weights: of the gradient; of `Quantiles` the bound's own alone.
      sequential: as of `weighted_errors`.

    Returns:
      Terms with parts latent_0, latent_1, diffusion.

    Raises:
      UserError: a noise that holds no times, or neither key nor noise.
    """
    if noise is None:
        noise = draw(required(rng, by="a bound"), z.shape, stratified, num_times)
    expect(noise, Times, Quantiles, by="the bound in continuous time", instead=DRAWN_BY)
    _check_weights(noise, weights)
    gamma_t, slope = _gamma_and_slope(gamma, noise)
    losses = weighted_errors(
        eps_fn, gamma_t, 0.5 * slope, z, noise.eps, weights, sequential=sequential
    )
    return _with_ends(losses, gamma, z)


def discrete(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    rng: Key | None = None,
    *,
    num_steps: int,
    noise: Noise = None,
    weights: str = "bound",
    sequential: bool = False,
    log_v: Float[Array, "t ..."] | None = None,
) -> Terms:
    """The bound of the model with T steps on the grid i/T.

    LT = T/2 E_i[expm1(gamma(i/T) - gamma((i-1)/T)) |eps - eps_hat|^2] (VDM, Eq. 13-14); with widths
    v every square is divided by its v, and 1/2 sum_d [1/v - 1 + log v] of every step is added.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents or codes, [B, ...].
      rng: sums over all T steps per example, fresh noise for each.
      num_steps: T.
      noise: `Times`, `Quantiles` or `AllSteps`, instead of rng; t falls into step 1 + floor(T t),
        and the sum over steps is estimated as the mean over n of the step's term divided by its
        probability (1/T for `Times`).
      weights: of the gradient; of `Quantiles` the bound's own alone.
      sequential: as of `weighted_errors`.
      log_v: the widths of the reverse steps (`vdp.diffusion.reverse`); None: those of q.

    Returns:
      Terms with parts latent_0, latent_1, diffusion.

    Raises:
      UserError: a noise that holds no times, all steps of another T, or neither key nor noise.
    """
    if noise is None:
        noise = draw_all_steps(required(rng, by="a bound"), z.shape, num_steps)
    expect(noise, Times, Quantiles, AllSteps, by="the bound of T steps", instead=DRAWN_BY)
    _check_weights(noise, weights)
    gamma_t, gamma_s, inverse, index = steps_of(gamma, noise, num_steps)
    factor = 0.5 * inverse * jnp.expm1(gamma_t - gamma_s)
    options: Any = dict(sequential=sequential)
    if log_v is not None:
        log_v = reverse.whole(log_v, z.shape[1:])
        options["precision"] = jnp.exp(-log_v)[index]
    losses = weighted_errors(eps_fn, gamma_t, factor, z, noise.eps, weights, **options)
    if log_v is not None:
        losses = losses + inverse * reverse.width_kl(log_v)[index]
    return _with_ends(losses, gamma, z)


def shape_objective(
    eps_fn: EpsFn, gamma: Gamma, z: Float[Array, "b *s"], noise: Noise
) -> Float32[Array, "b"]:
    """What trains a schedule's inner shape, [B]: its gradient lowers the estimator's variance.

    It is zero in value, and the estimator is that of the bound in continuous time.

    The bound does not depend on gamma between its endpoints, the noise of its estimate does: what
    is minimised is mean_b L_b^2 over the per-example diffusion losses L_b (VDM, appendix I.2),
    divided by twice the numbers of an example so that the gradient is of the order of that of L_b.
    A mean of L_b would be another one in every part of a batch.

    Args:
      eps_fn: the denoiser; nothing of it is trained here.
      gamma: with gradients into the schedule's inner shape alone.
      z: latents or codes, [B, ...]; no gradient reaches them.
      noise: `Times`, those of the estimate, of one time per example or many.

    Raises:
      UserError: times of the importance density, in whose estimate the shape does not occur.
    """
    by = "the objective of a schedule's learned shape"
    expect(noise, Times, by=by, instead="a prior of times='low_discrepancy' draws it")
    gamma_t, slope = _gamma_and_slope(gamma, noise)
    z, eps = stop_gradient(z), noise.eps

    def losses(gamma_t: Float[Array, "b n"], slope: Float[Array, "b n"]) -> Float[Array, "b"]:
        return jnp.mean(weighted_errors(eps_fn, gamma_t, 0.5 * slope, z, eps), axis=1)

    loss, pullback = jax.vjp(losses, stop_gradient(gamma_t), stop_gradient(slope))
    by_gamma, by_slope = stop_gradient(pullback(loss / math.prod(z.shape[1:])))
    total = jnp.sum(by_gamma * gamma_t + by_slope * slope, axis=1)
    return total - stop_gradient(total)


def draw(rng: Key, z_shape: Shape, grid: Callable[[Key, int, int], Array], num_times: int) -> Times:
    """Draws n times for every example, and the noise that z is diffused with there.

    Args:
      rng: a key.
      z_shape: of the whole batch, (B, ...).
      grid: (key, B, n) -> times [B, n], as `times.stratified`.
      num_times: n.
    """
    time_rng, eps_rng = jax.random.split(rng)
    eps = draws.normal(eps_rng, (z_shape[0], num_times, *z_shape[1:]))
    return Times(t=grid(time_rng, z_shape[0], num_times), eps=eps)


def draw_all_steps(rng: Key, z_shape: Shape, num_steps: int) -> AllSteps:
    """Draws the noise of every one of T steps for every example of z_shape = (B, ...)."""
    _, eps_rng = jax.random.split(rng)  # the first half is the times' of `draw`
    return AllSteps(eps=draws.normal(eps_rng, (z_shape[0], num_steps, *z_shape[1:])))
