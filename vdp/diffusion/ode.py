"""The probability-flow ODE in gamma: densities and deterministic codes (Song et al. 2021).

dy/dgamma = sigma/2 (eps_hat - sigma y) carries y_0 at gamma_0 to y_1 ~ N(0, I) at gamma_1. Solved
by diffrax in a fixed number of Tsit5 steps, equal in gamma; halving the step shows its error.
"""

import jax
import jax.numpy as jnp

from vdp.diffusion import process
from vdp.diffusion.bounds import EpsFn, Gamma
from vdp.dists import Normal, standard_normal, sum_nonbatch
from vdp.types import Array, Noise

EXACT_CHUNK = 64  # columns of the Jacobian computed at once


def _velocity(eps_fn: EpsFn, gamma: Array, y: Array) -> Array:
    gamma = jnp.broadcast_to(gamma, y.shape[:1])
    sigma = process.sigma(process.expand(gamma, y))
    return 0.5 * sigma * (eps_fn(y, gamma) - sigma * y)


def _solve(field, state, start: Array, end: Array, num_steps: int):
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


def transport(eps_fn: EpsFn, y: Array, start: Array, end: Array, *, num_steps: int = 32) -> Array:
    """Carries y [B, ...] along the flow from gamma = start to gamma = end, either way."""
    field = lambda gamma, y, _: _velocity(eps_fn, gamma, y)
    return _solve(field, y, jnp.float32(start), jnp.float32(end), num_steps)


def sample(
    eps_fn: EpsFn, gamma: Gamma, rng: Array, shape: tuple[int, ...], *, num_steps: int = 32
) -> Array:
    """Draws y_0 of the ODE's own model: noise carried from gamma(1) to gamma(0)."""
    ends = [gamma(jnp.float32(t)) for t in (1, 0)]
    return transport(eps_fn, jax.random.normal(rng, shape), *ends, num_steps=num_steps)


def log_prob(
    eps_fn: EpsFn,
    gamma: Gamma,
    y_0: Array,
    rng: Array | None = None,
    *,
    num_steps: int = 32,
    probes: Array | None = None,
    num_probes: int = 0,
) -> Array:
    """Log density of y_0 under the ODE model, up to solver error: [B].

    log p(y_0) = log N(y_1; 0, I) + integral of div dy/dgamma, where
    div = sigma/2 (tr(d eps_hat/dy) - sigma D).

    Args:
      eps_fn: the denoiser.
      gamma: the schedule; only its endpoints matter.
      y_0: [B, ...].
      rng: draws Rademacher probes where `num_probes` is positive.
      num_steps: of the solver; six evaluations of eps_fn each.
      probes: instead of rng, [B, n, ...] of +-1.
      num_probes: 0 for the exact trace (D evaluations of a derivative), else the number of
        Hutchinson probes: unbiased in the log, so fine in a bound, never in an IWAE exponent.
    """
    if probes is None and num_probes:
        probes = _signs(rng, y_0.shape, num_probes)

    def field(gamma, state, _):
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

    ends = [gamma(jnp.float32(t)) for t in (0, 1)]
    y_1, change = _solve(field, (y_0, jnp.zeros(len(y_0))), *ends, num_steps)
    return standard_normal(y_1).log_prob(y_1) + change


def draw(rng: Array, shape: tuple[int, ...], num_probes: int) -> Noise:
    """{"y_0": [B, ...]} and, where there are any, Rademacher "probes" [B, n, ...]."""
    y_rng, probe_rng = jax.random.split(rng)
    noise = {"y_0": jax.random.normal(y_rng, shape)}
    if num_probes:
        noise["probes"] = _signs(probe_rng, shape, num_probes)
    return noise


def _signs(rng: Array, shape: tuple[int, ...], num: int) -> Array:
    return jax.random.rademacher(rng, (shape[0], num, *shape[1:]), jnp.float32)


def log_weight(
    eps_fn: EpsFn, gamma: Gamma, z: Array, noise: Noise, *, num_steps: int, merged: bool
) -> Array:
    """Log r_ode(y_0) + log r(z|y_0) - log q(y_0|z) at one y_0, [B]; merged without its middle term.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: [B, ...]; merged, where y_0 is the latent, its code.
      noise: of `draw`.
      num_steps: of the solver.
      merged: whether z is a code.
    """
    gamma_0 = jnp.broadcast_to(gamma(jnp.float32(0)), z.shape)
    q_0 = Normal(process.alpha(gamma_0) * z, -jax.nn.softplus(-gamma_0))
    y_0 = q_0.sample(noise["y_0"])
    density = log_prob(eps_fn, gamma, y_0, num_steps=num_steps, probes=noise.get("probes"))
    weight = density - q_0.log_prob(y_0)
    if merged:
        return weight
    return weight + Normal(y_0 / process.alpha(gamma_0), gamma_0).log_prob(z)


def _exact_trace(derivative, y: Array) -> Array:
    """Sum of the diagonal of every example's Jacobian, [B]."""
    dims = y[0].size
    basis = jnp.eye(dims).reshape(dims, *y.shape[1:])

    def diagonal(unit):
        unit = jnp.broadcast_to(unit, y.shape)
        return sum_nonbatch(derivative(unit) * unit)

    return jnp.sum(jax.lax.map(diagonal, basis, batch_size=min(EXACT_CHUNK, dims)), axis=0)
