"""The laws of a prior: what makes its rate a rate, and its weights weights."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vdp.checks import densities, outputs
from vdp.checks.report import Report, Verdict, agree, close, tried
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.types import AnyArray, Array, DiffusionLike, Levels, Params, Prior, Shape, Stats

NUM = 4000  # draws of an average
STEPS = 6  # T of a diffusion whose weights are averaged: of more steps they vary too much
SAMPLES = 8000
COARSE = 41  # points along an axis where a density is itself an average over paths
PATHS = 100


@dataclasses.dataclass(kw_only=True, eq=False)
class _Case:
    """A prior over latents of one shape, with parameters moved off their start.

    Moved, because what starts at zero hides a wrong determinant and cuts gradients off.
    """

    prior: Any
    z_shape: tuple[int, ...]
    x_shape: tuple[int, ...]
    params: Params
    stats: Stats
    seed: int

    @classmethod
    def make(cls, prior: Prior, z_shape: Shape, x_shape: Shape, data: Levels | None, seed: int):
        rng, moving = jax.random.split(jax.random.key(seed))
        params, stats = prior.init(rng, tuple(z_shape), x_shape=tuple(x_shape), data=data)
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(moving, max(len(leaves), 1))
        moved = [
            x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=False)
        ]
        params = jax.tree.unflatten(tree, moved)
        return cls(
            prior=prior, z_shape=tuple(z_shape), x_shape=tuple(x_shape), params=params, stats=stats,
            seed=seed,
        )  # fmt: skip

    def key(self, purpose: int) -> Array:
        return jax.random.fold_in(jax.random.key(self.seed), purpose)

    def encode(self, images: Array) -> Normal:
        """Stands in for an encoder: a fixed random affine map of images in [0, 1]."""
        flat = images.reshape(len(images), -1)
        weights = jax.random.normal(jax.random.key(0), (flat.shape[1], *self.z_shape))
        mean = jnp.tensordot(flat - 0.5, weights, 1) * 4 / np.sqrt(flat.shape[1])
        return Normal(mean, jnp.full_like(mean, -0.5))

    @property
    def exact(self) -> bool:
        return self.prior.weight_model == "exact"

    def weighed(self) -> Any:
        """The prior whose bound and weight belong to one model, cheap enough to be averaged."""
        if not isinstance(self.prior, DiffusionLike) or self.prior.bound_model == "ode":
            return self.prior
        return self.prior.discretized(STEPS)

    def q(self) -> Normal:
        """Three posteriors about where the prior's samples lie."""
        near = self.samples(3, 0)
        log_var = jax.random.uniform(self.key(1), near.shape, minval=-3.0, maxval=0.0)
        return Normal(0.7 * jnp.asarray(near), log_var)

    def samples(self, num: int, purpose: int, prior: Any = None) -> np.ndarray:
        draw = lambda key: (prior or self.prior).sample(
            self.params, self.stats, key, num, z_shape=self.z_shape, encode=self.encode
        )
        return np.asarray(jax.jit(draw)(self.key(100 + purpose)))

    def rate(self, q: Normal, rng: Array | None, prior: Any = None, **options: Any):
        prior = prior or self.prior
        return prior.rate(self.params, self.stats, q, rng, encode=self.encode, **options)[1]

    @functools.cached_property
    def of_noise(self) -> Callable[..., Any]:
        """(q, noise) to the Terms of the rate, compiled once for all laws."""
        return jax.jit(lambda q, noise: self.rate(q, None, noise=noise))

    def weight(self, q: Normal, rng: Array, prior: Any = None) -> tuple[Array, Array]:
        prior = prior or self.prior
        return prior.log_prob_weight(self.params, self.stats, q, rng, encode=self.encode)

    def log_prob(self, z: AnyArray) -> Array:
        """log p(z) of an exact density, [N], for z [N, D]."""
        latents = jnp.asarray(z, jnp.float32).reshape(-1, *self.z_shape)
        dense = self.prior.log_prob_bound(
            self.params, self.stats, latents, self.key(2), encode=self.encode
        )
        return dense.value


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
    case = _Case.make
    merged = isinstance(prior, DiffusionLike) and prior.merged
    at = lambda shape: case(prior, shape, x_shape, data, seed)
    whole = _once(lambda: at(z_shape))
    grid = _once(lambda: _grid(at(small_shape(prior, z_shape, x_shape, merged))))

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
    if not merged:
        laws["the density integrates to one"] = lambda: densities.mass_on_grid(
            grid().density, grid().cell
        )
        laws["samples have the density's moments"] = lambda: densities.moments_on_grid(*grid())
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


def _parts(case: _Case) -> Verdict:
    terms = case.of_noise(case.q(), _drawn(case))
    total = np.sum([np.asarray(part, np.float64) for part in terms.parts.values()], axis=0)
    return close(terms.value, total, f"sum of {', '.join(terms.parts)}", 1e-4)


def _drawn(case: _Case):
    return case.prior.draw(case.key(4), 3, case.z_shape, purpose="elbo")


def _noise(case: _Case) -> Verdict:
    q = case.q()
    by_key = jax.jit(case.rate)(q, case.key(4)).value
    by_noise = case.of_noise(q, _drawn(case)).value
    return close(by_key, by_noise, "rate of a key and of its draw", 1e-4)


def _jit(case: _Case) -> Verdict:
    q, noise = case.q(), _drawn(case)
    jitted, again = (case.of_noise(q, noise).value for _ in range(2))
    held, said = close(jitted, again, "twice the same call", 0.0)
    plain = case.rate(q, None, noise=noise).value
    return close(plain, jitted, "compiled and not", 1e-3) if held else (held, said)


def _alone(case: _Case) -> Verdict:
    q, noise = case.q(), _drawn(case)
    whole = case.of_noise(q, noise).value
    first = lambda tree: jax.tree.map(lambda leaf: leaf[:1], tree)
    alone = case.of_noise(first(q), first(noise)).value
    return close(whole[:1], alone, "in a batch of three and alone", 1e-3)


def _gradients(case: _Case) -> Verdict:
    train = case.prior.bound_model != "ode"  # which is evaluated alone
    purpose = "loss" if train else "elbo"
    noise = case.prior.draw(case.key(5), 3, case.z_shape, purpose=purpose)

    def total(params, q):
        rate = case.prior.rate(
            params, case.stats, q, case.key(6), encode=case.encode, noise=noise, train=train
        )
        return rate[1].value.sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(case.params, case.q())
    leaves = jax.tree_util.tree_leaves_with_path(gradients[0])
    path = lambda p: jax.tree_util.keystr(p, simple=True, separator="/")
    for p, leaf in [*leaves, *jax.tree_util.tree_leaves_with_path(gradients[1])]:
        if not jnp.isfinite(leaf).all():
            return False, f"the gradient of {path(p) or 'q'} is not finite"
    silent = [path(p) for p, leaf in leaves if not jnp.any(leaf != 0)]
    if silent:
        return False, f"no gradient reaches {', '.join(silent)}"
    return True, f"{len(leaves)} arrays of parameters, and q"


def _weights(case: _Case) -> Verdict:
    model, q = case.weighed(), case.q()

    def both(rng):
        a, b = jax.random.split(rng)
        return case.rate(q, a, model).value, case.weight(q, b, model)[1]

    num = NUM // 4 if model.bound_model == "ode" else NUM
    rates, weights = jax.lax.map(both, jax.random.split(case.key(7), num), batch_size=500)
    return agree(np.asarray(weights), np.asarray(rates), ("weight", "minus rate"))


def _grid(case: _Case) -> densities.Grid:
    """The density of a prior over latents of two numbers, on a grid around its samples."""
    model = case.weighed()
    samples = case.samples(20_000, 1, model).reshape(-1, 2)
    if case.exact:
        points, cell = densities.grid_around(samples)
        density = np.exp(np.asarray(case.log_prob(points), np.float64))
        return densities.Grid(density, points, cell, samples)
    points, cell = densities.grid_around(samples, COARSE)
    z = jnp.asarray(points, jnp.float32).reshape(-1, *case.z_shape)
    near = Normal(z, jnp.full_like(z, -12.0))

    def log_density(rng):
        drawn, weight = case.weight(near, rng, model)
        return weight + near.log_prob(drawn)

    num = 4 if model.weight_model == "ode" else PATHS
    draws = jax.lax.map(log_density, jax.random.split(case.key(8), num))
    density = np.exp(np.asarray(draws, np.float64)).mean(0)
    return densities.Grid(density, points, cell, samples)


def _mass_of_all(case: _Case) -> Verdict:
    samples = case.samples(SAMPLES, 2).reshape(SAMPLES, -1)
    return densities.mass_by_bridge(jax.jit(case.log_prob), samples, case.seed)


def _slopes(case: _Case) -> Verdict:
    samples = case.samples(SAMPLES, 3).reshape(SAMPLES, -1)
    scores = jax.jit(jax.grad(lambda z: case.log_prob(z).sum()))(jnp.asarray(samples))
    return densities.stein(samples.astype(np.float64), np.asarray(scores, np.float64))
