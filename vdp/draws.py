"""Random numbers of any shape, by one long draw: those of jax.random bit for bit, compiled sooner.

jax hashes a counter for every number, and computes the counters of an array from its indices. On
CPUs the compiler unrolls that arithmetic: three seconds for [64, 50, 9], a third of one for the
same numbers in a row (`jax_threefry_partitionable`, jax's default, makes them the same).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32

from vdp.types import Array, Key, Shape


def _in_a_row(draw: Callable[..., Array], rng: Key, shape: Shape, *args: Any) -> Array:
    return draw(rng, (math.prod(shape),), *args).reshape(shape)


def normal(rng: Key, shape: Shape) -> Float[Array, "..."]:
    """Standard normal numbers of a shape."""
    return _in_a_row(jax.random.normal, rng, shape)


def uniform(
    rng: Key, shape: Shape, minval: float = 0.0, maxval: float = 1.0
) -> Float[Array, "..."]:
    """Numbers of a shape from U[minval, maxval)."""
    return _in_a_row(jax.random.uniform, rng, shape, jnp.float32, minval, maxval)


def logistic(rng: Key, shape: Shape) -> Float[Array, "..."]:
    """Standard logistic numbers of a shape."""
    return _in_a_row(jax.random.logistic, rng, shape)


def gumbel(rng: Key, shape: Shape) -> Float[Array, "..."]:
    """Standard Gumbel numbers of a shape."""
    return _in_a_row(jax.random.gumbel, rng, shape)


def signs(rng: Key, shape: Shape) -> Float[Array, "..."]:
    """-1 or 1, alike likely, of a shape (Rademacher)."""
    return _in_a_row(jax.random.rademacher, rng, shape, jnp.float32)


def categorical(rng: Key, logits: Float[Array, "*s k"]) -> Int32[Array, "*s"]:
    """Whole numbers below K by the logits of the last axis, K of them."""
    return jnp.argmax(logits + gumbel(rng, logits.shape), axis=-1)


def bernoulli(rng: Key, probability: Float[Array, "*s"]) -> Bool[Array, "*s"]:
    """True with the given probabilities."""
    return jax.random.bernoulli(rng, probability.reshape(-1)).reshape(probability.shape)
