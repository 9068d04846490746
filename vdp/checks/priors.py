"""The laws of a prior: what makes its rate a rate, and its weights weights."""

import functools
import inspect
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vdp.checks import densities, outputs
from vdp.checks.prior_case import Case
from vdp.checks.report import Report, Verdict, agree, close, tried, unreached
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.types import DiffusionLike, Levels, Prior, Shape

NUM = 4000  # draws of an average
SOME = 8000  # samples, where all would take long
PATHS = 400_000  # weighted draws of a density that is itself an average over paths: few carry it
FLOWS = 20_000  # and of one by the ODE, whose weights vary less and cost more
BATCH = 2000
SHAKE, MOST_GROWN = (
    1e-6,
    0.1,
)  # of noise; and what it may change in samples for these to be compared
BROAD = 1.5  # times the deviations of the samples: those of the proposal of weighted draws


def check_prior(
    prior: Prior,
    z_shape: Shape,
    *,
    x_shape: Shape = (4, 4, 1),
    data: Levels | None = None,
    name: str = "prior",
    seed: int = 0,
) -> Report:
    """Tries the laws of a prior, in about a minute for small ones.

    Args:
      prior: any that keeps `vdp.types.Prior`; no training is needed, its parameters are those of
        `init`, moved a little.
      z_shape: of one latent, (16,) or (7, 7, 4). That the density integrates to one is looked at
        there, and with two numbers in a latent, where a grid can be laid.
      x_shape: (H, W, C) of images, for priors over data space.
      data: integer levels [N, H, W, C] that `init` may start from.
      name: in the report.
      seed: of everything random.

    Returns:
      The report; `print` it, or `require` its laws.
    """
    case = Case.make
    merged = isinstance(prior, DiffusionLike) and prior.merged
    at = lambda shape: case(prior, shape, x_shape, data, seed)
    whole = _once(lambda: at(z_shape))
    two = math.prod(z_shape) == 2
    small = lambda: whole() if two else at(small_shape(prior, z_shape, x_shape, merged))
    grid = _once(lambda: _grid(small()))
    weighted = _once(lambda: _weighted(small()))

    def shapes() -> Verdict:
        outputs.of_prior(prior, z_shape, x_shape, merged=merged)
        return True, f"latents {tuple(z_shape)}, values [B] in float32"

    laws: dict[str, Callable[[], Verdict]] = {
        "shapes and types": shapes,
        "the value is the sum of its parts, finite": lambda: _parts(whole()),
        "noise given is the noise drawn": lambda: _noise(whole()),
        "jit changes nothing": lambda: _jit(whole()),
        "no example of a batch influences another": lambda: _alone(whole()),
        "gradients are finite and reach every parameter": lambda: _gradients(whole()),
        "the mean weight is minus the mean rate": lambda: _weights(whole()),
    }
    if "noise" in inspect.signature(prior.sample).parameters:
        laws["samples of given noise are those drawn"] = lambda: _sample_noise(whole())
    if not merged:
        exact = prior.weight_model == "exact"
        laws["the density integrates to one"] = lambda: (
            densities.mass_on_grid(grid().density, grid().cell)
            if exact
            else densities.mass_by_weights(weighted())
        )
        laws["samples have the density's moments"] = lambda: (
            densities.moments_on_grid(grid()) if exact else densities.moments_by_weights(weighted())
        )
    if not merged and prior.weight_model == "exact":
        laws["the density integrates to one, all dimensions"] = lambda: _mass_of_all(whole())
        laws["samples follow the slopes of the density"] = lambda: _slopes(whole())
    return tried(name, laws)


_once = functools.cache  # of a function without arguments: what several laws look at


def small_shape(prior: Prior, z_shape: Shape, x_shape: Shape, merged: bool) -> tuple[int, ...]:
    """A shape of two numbers and the rank of `z_shape` that the prior takes.

    Raises:
      UserError: there is none.
    """
    rank = len(z_shape)
    last: Exception | None = None
    for axis in reversed(range(rank)):
        shape = tuple(2 if i == axis else 1 for i in range(rank))
        try:
            outputs.of_prior(prior, shape, x_shape, merged=merged)
        except Exception as error:  # a network for maps of another size
            last = error
            continue
        return shape
    raise UserError(f"it takes no latent of two numbers: {last}") from last


def _parts(case: Case) -> Verdict:
    terms = case.of_noise(case.q(), _drawn(case))
    total = np.sum([np.asarray(part, np.float64) for part in terms.parts.values()], axis=0)
    return close(terms.value, total, f"sum of {', '.join(terms.parts)}", 1e-4)


def _drawn(case: Case, purpose: int = 4):
    return case.prior.draw(case.key(purpose), 3, case.z_shape, purpose="elbo")


def _noise(case: Case) -> Verdict:
    q = case.q()
    by_key = jax.jit(case.rate)(q, case.key(4)).value
    by_noise = case.of_noise(q, _drawn(case)).value
    return close(by_key, by_noise, "rate of a key and of its draw", 1e-4)


def _sample_noise(case: Case) -> Verdict:
    """Rounding grows over the steps of a sampler: noise with other last digits tells how much."""
    key, what = case.key(10), "samples of a key and of its draw"
    drawn = lambda key: case.weighed().draw(key, 3, case.z_shape, purpose="sample")
    by_key, by_noise = jax.jit(
        lambda key: (case.sample(key, 3), case.sample(None, 3, noise=drawn(key)))
    )(key)
    held, said = close(by_key, by_noise, what, 1e-4)
    if held:
        return held, said
    shaken = jax.tree.map(
        lambda x: x * (1 + SHAKE) if jnp.issubdtype(x.dtype, jnp.floating) else x, drawn(key)
    )
    others = jax.jit(lambda noise: case.sample(None, 3, noise=noise))(shaken)
    grown = float(jnp.max(jnp.abs(others - by_noise) / (1 + jnp.abs(by_noise))))
    if not grown <= MOST_GROWN:
        return None, f"{said}; but changes of {SHAKE:g} of the noise change them by {grown:.2g}"
    return close(by_key, by_noise, what, 1e-4 + 3 * grown)


def _jit(case: Case) -> Verdict:
    q, noise = case.q(), _drawn(case)
    jitted, again = (case.of_noise(q, noise).value for _ in range(2))
    held, said = close(jitted, again, "twice the same call", 0.0)
    plain = case.rate(q, None, noise=noise).value
    return close(plain, jitted, "compiled and not", 1e-3) if held else (held, said)


def _alone(case: Case) -> Verdict:
    """The first of three, with two others beside it than before: nothing is compiled for that."""
    noise = _drawn(case)
    beside = lambda one, others: jnp.concatenate([one[:1], others[1:]])
    among = jax.tree.map(beside, case.q(), case.q(3)), jax.tree.map(beside, noise, _drawn(case, 9))
    values = [case.of_noise(*given).value[:1] for given in ((case.q(), noise), among)]
    return close(values[0], values[1], "beside two examples and two others", 1e-3)


def _gradients(case: Case) -> Verdict:
    train = case.prior.bound_model != "ode"  # which is evaluated alone
    purpose = "loss" if train else "elbo"
    noise = case.prior.draw(case.key(5), 3, case.z_shape, purpose=purpose)

    def total(params, q):
        rate = case.prior.rate(
            params, case.stats, q, case.key(6), encode=case.encode, noise=noise, train=train
        )
        return rate[1].value.sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(case.params, case.q())
    reached = gradients[0]
    if getattr(case.prior, "teacher_steps", 0):  # a student has its teacher's schedule
        reached = {name: tree for name, tree in reached.items() if name != "schedule"}
    wrong = unreached(reached, "the parameters")
    if not all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients[1])):
        wrong = "the gradient of q is not finite"  # of its variances the merged form has none
    return not wrong, wrong or f"{len(jax.tree.leaves(case.params))} arrays of parameters, and q"


def _weights(case: Case) -> Verdict:
    model, q = case.weighed(), case.q()

    def both(rng):
        a, b = jax.random.split(rng)
        return case.rate(q, a, model).value, case.weight(q, b, model)[1]

    num = NUM // 4 if model.bound_model == "ode" else NUM
    rates, weights = jax.lax.map(both, jax.random.split(case.key(7), num), batch_size=500)
    return agree(np.asarray(weights), np.asarray(rates), ("weight", "minus rate"))


def _grid(case: Case) -> densities.Grid:
    """An exact density over latents of two numbers, on a grid around its samples."""
    samples = case.samples.reshape(-1, 2)
    points, cell = densities.grid_around(samples)
    density = np.exp(np.asarray(case.log_prob(points), np.float64))
    return densities.Grid(density, points, cell, samples)


def _weighted(case: Case) -> densities.Weighted:
    """Draws about the samples of a prior over latents of two numbers, by its own weights.

    A weight of q = N(m, (BROAD s)^2) averages to the integral of the density, whatever the path
    adds to it; the density at each point of a grid would be an average of its own.
    """
    model = case.weighed()
    like = (BATCH, *case.z_shape)
    mean, std = case.samples.mean(0), BROAD * case.samples.std(0) + 1e-6
    broad = Normal(jnp.broadcast_to(mean, like), jnp.broadcast_to(2 * jnp.log(std), like))
    num = FLOWS if model.weight_model == "ode" else PATHS
    keys = jax.random.split(case.key(8), num // BATCH)
    z, weights = jax.lax.map(lambda rng: case.weight(broad, rng, model), keys)
    points = np.asarray(z, np.float64).reshape(-1, 2)
    return densities.Weighted(points, np.asarray(weights).reshape(-1), case.samples.reshape(-1, 2))


def _mass_of_all(case: Case) -> Verdict:
    samples = case.samples[:SOME].reshape(SOME, -1)
    return densities.mass_by_bridge(jax.jit(case.log_prob), samples, case.seed)


def _slopes(case: Case) -> Verdict:
    samples = case.samples[-SOME:].reshape(SOME, -1)
    scores = jax.jit(jax.grad(lambda z: case.log_prob(z).sum()))(jnp.asarray(samples))
    return densities.stein(samples.astype(np.float64), np.asarray(scores, np.float64))
