"""A prior under its laws: parameters, an encoder, posteriors and samples, made once for all."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vdp.checks.report import moved
from vdp.dists import Normal
from vdp.types import AnyArray, Array, DiffusionLike, Levels, Params, Prior, Shape, Stats

STEPS = 6  # T of a diffusion whose weights are averaged: of more steps they vary too much
SAMPLES = 20_000


@dataclasses.dataclass(kw_only=True, eq=False)
class Case:
    """A prior over latents of one shape, with parameters moved off their start."""

    prior: Any
    z_shape: tuple[int, ...]
    x_shape: tuple[int, ...]
    params: Params
    stats: Stats
    seed: int

    @classmethod
    def make(cls, prior: Prior, z_shape: Shape, x_shape: Shape, data: Levels | None, seed: int):
        """Starts the prior for latents of `z_shape`; the arguments are those of `check_prior`."""

        def start(key: Array, data: Any) -> tuple[Params, Stats]:
            rng, moving = jax.random.split(key)
            params, stats = prior.init(rng, tuple(z_shape), x_shape=tuple(x_shape), data=data)
            return moved(params, moving), stats

        params, stats = jax.jit(start)(jax.random.key(seed), data)  # traced, as training does
        return cls(
            prior=prior, z_shape=tuple(z_shape), x_shape=tuple(x_shape), params=params, stats=stats,
            seed=seed,
        )  # fmt: skip

    def key(self, purpose: int) -> Array:
        """The key of one purpose."""
        return jax.random.fold_in(jax.random.key(self.seed), purpose)

    def encode(self, images: Array) -> Normal:
        """Stands in for an encoder: a fixed random affine map of images in [0, 1]."""
        flat = images.reshape(len(images), -1)
        weights = jax.random.normal(jax.random.key(0), (flat.shape[1], *self.z_shape))
        mean = jnp.tensordot(flat - 0.5, weights, 1) * 4 / np.sqrt(flat.shape[1])
        return Normal(mean, jnp.full_like(mean, -0.5))

    @property
    def exact(self) -> bool:
        """Whether the density itself is known."""
        return self.prior.weight_model == "exact"

    def weighed(self) -> Any:
        """The prior whose bound and weight belong to one model, cheap enough to be averaged."""
        if not isinstance(self.prior, DiffusionLike) or self.prior.bound_model == "ode":
            return self.prior
        return self.prior.discretized(STEPS)

    def q(self, first: int = 0) -> Normal:
        """Three posteriors about where the prior's samples lie, from the sample `first` on."""
        near = self.samples[first : first + 3]
        log_var = jax.random.uniform(self.key(1), near.shape, minval=-3.0, maxval=0.0)
        return Normal(0.7 * jnp.asarray(near), log_var)

    def sample(self, rng: Array | None, num: int, **options: Any) -> Array:
        """Draws z [num, *z_shape] from `weighed`."""
        return self.weighed().sample(
            self.params, self.stats, rng, num, z_shape=self.z_shape, encode=self.encode, **options
        )

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """Samples of `weighed`, drawn once for all laws: many where averages are taken of them."""
        num = SAMPLES if self.exact or math.prod(self.z_shape) == 2 else 6
        return np.asarray(jax.jit(lambda key: self.sample(key, num))(self.key(100)))

    def rate(self, q: Normal, rng: Array | None, prior: Any = None, **options: Any):
        """Minus the rate of q, `Terms`, of this prior or of the other one."""
        prior = prior or self.prior
        return prior.rate(self.params, self.stats, q, rng, encode=self.encode, **options)[1]

    @functools.cached_property
    def of_noise(self) -> Callable[..., Any]:
        """(q, noise) to the Terms of the rate, compiled once for all laws."""
        return jax.jit(lambda q, noise: self.rate(q, None, noise=noise))

    def weight(self, q: Normal, rng: Array, prior: Any = None) -> tuple[Array, Array]:
        """A draw z of q [B, *z_shape] and its log-weight [B], of this prior or of the other one."""
        prior = prior or self.prior
        return prior.log_prob_weight(self.params, self.stats, q, rng, encode=self.encode)

    def log_prob(self, z: AnyArray) -> Array:
        """log p(z) of an exact density, [N], for z [N, D]."""
        latents = jnp.asarray(z, jnp.float32).reshape(-1, *self.z_shape)
        dense = self.prior.log_prob_bound(
            self.params, self.stats, latents, self.key(2), encode=self.encode
        )
        return dense.value
