"""The probability-flow ODE in gamma: densities and deterministic codes (Song et al. 2021).

dy/dgamma = sigma/2 (eps_hat - sigma y) carries y_0 at gamma_0 to y_1 ~ N(0, I) at gamma_1. Solved
by diffrax in a fixed number of Tsit5 steps, equal in gamma; halving the step shows its error.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.diffusion import process
from vdp.diffusion.noise import ExactOde, HutchinsonOde, start_of
from vdp.diffusion.process import EpsFn, Gamma
from vdp.dists import Normal, standard_normal, sum_nonbatch
from vdp.errors import UserError
from vdp.noise import expect
from vdp.types import Array, Key, Noise, Shape

EXACT_CHUNK = 64  # columns of the Jacobian computed at once


def _velocity(
    eps_fn: EpsFn, gamma: Float[Array, ""], y: Float[Array, "b *s"]
) -> Float[Array, "b *s"]:
    """The derivative dy/dgamma of the flow."""
    gamma = jnp.broadcast_to(gamma, y.shape[:1])
    sigma = process.sigma(process.expand(gamma, y))
    return 0.5 * sigma * (eps_fn(y, gamma) - sigma * y)


def _solve(
    field: Callable[[Any, Any, Any], Any],
    state: Any,
    start: Float[Array, ""],
    end: Float[Array, ""],
    num_steps: int,
) -> Any:
    """Solves d state/dgamma = field(gamma, state, None) from gamma = start to gamma = end."""
    import diffrax

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=start,
        t1=end,
        dt0=None,
        y0=state,
        stepsize_controller=diffrax.StepTo(ts=jnp.linspace(start, end, num_steps + 1)),
        max_steps=num_steps,
    )
    return jax.tree.map(lambda ys: ys[-1], solution.ys)


def transport(
    eps_fn: EpsFn,
    y: Float[Array, "b *s"],
    start: Float[Array, ""] | float,
    end: Float[Array, ""] | float,
    *,
    num_steps: int = 32,
) -> Float[Array, "b *s"]:
    """Carries y along the flow from gamma = start to gamma = end, either way.

    Args:
      eps_fn: the denoiser.
      y: diffused latents at gamma = start, [B, ...].
      start: a gamma.
      end: another, below it or above.
      num_steps: of the solver; six evaluations of eps_fn each.

    Returns:
      y at gamma = end, [B, ...].
    """
    field = lambda gamma, y, _: _velocity(eps_fn, gamma, y)
    return _solve(field, y, jnp.float32(start), jnp.float32(end), num_steps)


def sample(
    eps_fn: EpsFn,
    gamma: Gamma,
    rng: Key | None,
    shape: Shape,
    *,
    num_steps: int = 32,
    noise: Noise = None,
) -> Float[Array, "n *s"]:
    """Draws y_0 of the ODE's model: noise carried from gamma(1) to gamma(0).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule; only its endpoints matter.
      rng: a key.
      shape: of the result, (N, ...).
      num_steps: of the solver.
      noise: a `Start` instead of what is drawn with rng.

    Raises:
      UserError: another noise.
    """
    start = start_of(noise, rng, shape, by="a sample of the ODE")
    ends = [gamma(jnp.float32(t)) for t in (1, 0)]
    return transport(eps_fn, start, *ends, num_steps=num_steps)


def log_prob(
    eps_fn: EpsFn,
    gamma: Gamma,
    y_0: Float[Array, "b *s"],
    *,
    num_steps: int = 32,
    probes: Float[Array, "b n *s"] | None = None,
) -> Float32[Array, "b"]:
    """Log density of y_0 under the ODE model, up to solver error: [B].

    log p(y_0) = log N(y_1; 0, I) + integral of div dy/dgamma, where
    div = sigma/2 (tr(d eps_hat/dy) - sigma D).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule; only its endpoints matter.
      y_0: where the density is looked at, [B, ...].
      num_steps: of the solver; six evaluations of eps_fn each.
      probes: None for the exact trace (D evaluations of a derivative), else of `rademacher`,
        [B, n, ...], for Hutchinson's estimate: unbiased in the log, so fine in a bound, never in
        an IWAE exponent.
    """

    def field(
        gamma: Array, state: tuple[Array, Array], _args: None
    ) -> tuple[Float[Array, "b *s"], Float[Array, "b"]]:
        y, _ = state
        # backwards: convolutions may define that direction alone, and v.Jv is the same either way
        velocity, pull = jax.vjp(lambda y: _velocity(eps_fn, gamma, y), y)
        derivative = lambda v: pull(v)[0]
        if probes is None:
            trace = _exact_trace(derivative, y)
        else:
            each = jax.vmap(lambda probe: sum_nonbatch(derivative(probe) * probe), in_axes=1)
            trace = jnp.mean(each(probes), axis=0)
        return velocity, trace

    start, end = (gamma(jnp.float32(t)) for t in (0, 1))
    y_1, change = _solve(field, (y_0, jnp.zeros(len(y_0))), start, end, num_steps)
    return standard_normal(y_1).log_prob(y_1) + change


def draw(rng: Key, shape: Shape, num_probes: int) -> ExactOde | HutchinsonOde:
    """Draws the noise of y_0 [B, ...] and, where there are any, that many probes of the trace."""
    y_rng, probe_rng = jax.random.split(rng)
    y_0 = draws.normal(y_rng, shape)
    if not num_probes:
        return ExactOde(y_0=y_0)
    return HutchinsonOde(y_0=y_0, probes=rademacher(probe_rng, shape, num_probes))


def rademacher(rng: Key, shape: Shape, num: int) -> Float[Array, "b {num} *s"]:
    """Probes [B, n, ...] of +-1 for y of `shape` (B, ...)."""
    return draws.signs(rng, (shape[0], num, *shape[1:]))


def probes_of(noise: Noise) -> Float[Array, "b n *s"] | None:
    """The probes of the trace in a noise of `draw`, [B, n, ...]; None where it is computed exactly.

    Raises:
      UserError: another noise.
    """
    instead = "a prior of bound='ode' (`as_ode`) draws it for purpose='elbo' and 'weight'"
    expect(noise, ExactOde, HutchinsonOde, by="the ODE's density", instead=instead)
    return noise.probes if isinstance(noise, HutchinsonOde) else None


def log_ratio(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    noise: Noise,
    *,
    num_steps: int,
    merged: bool,
) -> Float32[Array, "b"]:
    """A lower bound on log r(z) in expectation, at one y_0 ~ q(y_0|z): [B].

    log r_ode(y_0) + log r(z|y_0) - log q(y_0|z); merged without its middle term.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents, [B, ...]; merged, where y_0 is the latent, its codes.
      noise: of `draw`: `ExactOde` or `HutchinsonOde`.
      num_steps: of the solver.
      merged: whether z is a code.

    Raises:
      UserError: another noise.
    """
    probes = probes_of(noise)
    gamma_0 = jnp.broadcast_to(gamma(jnp.float32(0)), z.shape)
    q_0 = Normal(process.alpha(gamma_0) * z, -jax.nn.softplus(-gamma_0))
    y_0 = q_0.sample(noise.y_0)
    density = log_prob(eps_fn, gamma, y_0, num_steps=num_steps, probes=probes)
    ratio = density - q_0.log_prob(y_0)
    if merged:
        return ratio
    return ratio + Normal(y_0 / process.alpha(gamma_0), gamma_0).log_prob(z)


def log_weight(
    eps_fn: EpsFn, gamma: Gamma, z: Float[Array, "b *s"], noise: Noise, **options: Any
) -> Float32[Array, "b"]:
    """`log_ratio` with the exact trace, [B]: its exponential averages to r(z), so it is a weight.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents, [B, ...]; merged, their codes.
      noise: of `draw` without probes, an `ExactOde`.
      options: `num_steps` and `merged`, as of `log_ratio`.

    Raises:
      UserError: Hutchinson's probes, or another noise.
    """
    if probes_of(noise) is not None:
        raise UserError(
            "Hutchinson's estimate may not stand in an IWAE exponent: draw the noise for "
            "purpose='weight', or with ode_probes=0"
        )
    return log_ratio(eps_fn, gamma, z, noise, **options)


def _exact_trace(
    derivative: Callable[[Array], Array], y: Float[Array, "b *s"]
) -> Float32[Array, "b"]:
    """Sum of the diagonal of every example's Jacobian, [B]."""
    dims = y[0].size
    basis = jnp.eye(dims).reshape(dims, *y.shape[1:])

    def diagonal(unit: Float[Array, "*s"]) -> Float32[Array, "b"]:
        unit = jnp.broadcast_to(unit, y.shape)
        return sum_nonbatch(derivative(unit) * unit)

    return jnp.sum(jax.lax.map(diagonal, basis, batch_size=min(EXACT_CHUNK, dims)), axis=0)
