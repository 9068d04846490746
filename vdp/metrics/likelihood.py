"""Estimates of log p(x): the IWAE bound, bits per dimension, means with standard errors."""

import math
from collections.abc import Sequence
from typing import Any, TypedDict, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Float, Shaped

from vdp.runtime import numbers
from vdp.types import AnyArray, Array, Batch, Key, Params, Shape, Stats, Weights


class Estimate(TypedDict):
    """A mean over examples and its standard error, which is None for fewer than two."""

    mean: float
    se: float | None


@overload
def bits_per_dim(nats: float, x_shape: Shape) -> float: ...
@overload
def bits_per_dim(nats: np.ndarray, x_shape: Shape) -> np.ndarray: ...
def bits_per_dim(nats: Any, x_shape: Shape) -> Any:
    """Bits per dimension, -nats / (log 2 * H * W * C); the one place where nats become bits."""
    return -nats / (math.log(2) * math.prod(x_shape))


def log_weights(
    model: Weights,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    num_samples: int,
    chunk: int = 1,
) -> Float[Array, "{num_samples} b"]:
    """The logarithms of K importance weights of every example, [K, B], each at draws of its own.

    The arguments are those of `iwae_with_ess`.
    """
    keys = jax.random.split(rng, num_samples)
    return jax.lax.map(
        lambda key: model.log_weight(params, stats, batch, key), keys, batch_size=chunk
    )


def bound_and_ess(
    log_w: Float[AnyArray, "*s"], *, axis: int = 0
) -> tuple[Float[Array, "*t"], Float[Array, "*t"]]:
    """The bound log 1/K sum_k w_k and (sum w)^2 / sum w^2 of K log-weights along an axis."""
    total = logsumexp(log_w, axis=axis)
    ess = jnp.exp(2 * total - logsumexp(2 * log_w, axis=axis))
    return total - math.log(log_w.shape[axis]), ess


def iwae_with_ess(
    model: Weights,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    num_samples: int,
    chunk: int = 1,
) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """The IWAE bound log 1/K sum_k w_k (Burda et al. 2015), and the weights' effective sample size.

    Every k has its own latent and diffusion path.

    Args:
      model: whose `log_weight` is log w_k.
      params: of the model.
      stats: of the model.
      batch: B examples.
      rng: a key.
      num_samples: K.
      chunk: how many of the K are evaluated at once.

    Returns:
      (bound [B] in nats, (sum w)^2 / sum w^2 [B], between 1 and K).
    """
    how = dict(num_samples=num_samples, chunk=chunk)
    return bound_and_ess(log_weights(model, params, stats, batch, rng, **how))


def iwae_terms(
    model: Weights,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    num_samples: int,
    chunk: int,
) -> dict[str, Float[Array, "b"]]:
    """For `Batched.map`: "value", the IWAE bound, and "ess", the effective sample size, [B].

    The arguments are those of `iwae_with_ess`.
    """
    how = dict(num_samples=num_samples, chunk=chunk)
    value, ess = iwae_with_ess(model, params, stats, batch, rng, **how)
    return {"value": value, "ess": ess}


def iwae(
    model: Weights,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    num_samples: int,
    chunk: int = 1,
) -> Float[Array, "b"]:
    """The IWAE bound alone, [B] nats; the arguments are those of `iwae_with_ess`."""
    return iwae_with_ess(model, params, stats, batch, rng, num_samples=num_samples, chunk=chunk)[0]


def mean_and_error(values: Shaped[AnyArray, "n"] | Sequence[float]) -> Estimate:
    """Mean and standard error over examples, as eval.json has them."""
    mean, error = numbers.mean_and_error(np.asarray(values))
    return {"mean": mean, "se": error}


def with_se(name: str, values: Shaped[AnyArray, "n"]) -> dict[str, float | None]:
    """The mean over examples under a name, and its standard error under NAME_se."""
    mean, error = numbers.mean_and_error(np.asarray(values))
    return {name: mean, f"{name}_se": error}


def summary(
    values: Float[AnyArray, "n"], x_shape: Shape, *, discrete: bool
) -> dict[str, Estimate | None]:
    """Nats and, for discrete likelihoods, bits per dimension of per-example log-probabilities."""
    nats = mean_and_error(values)
    bits = mean_and_error(bits_per_dim(np.asarray(values, np.float64), x_shape))
    return {"nats": nats, "bits_per_dim": bits if discrete else None}
