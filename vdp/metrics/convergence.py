"""One quantity at growing accuracy: the importance-weighted bound over K, and paired differences.

The bound of K weights lies below log p(x) in expectation and rises with K (Burda et al. 2015), by
amounts that fall as 1/K where the weights have a variance (Domke & Sheldon 2018): what it still
rises by when K doubles is, at best, what it still lacks.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vdp.metrics import likelihood
from vdp.metrics.likelihood import Estimate, mean_and_error
from vdp.types import AnyArray, Array, Batch, Key, Params, Stats, Weights


def counts(num: int) -> list[int]:
    """The numbers K at which weights are looked at: `num`, and halves of it down to 1, ascending.

    Each is at least twice the one before: for a bound with a gap of c/K, the rise from K/2 to K
    equals the gap that is left.
    """
    return [num >> i for i in reversed(range(num.bit_length()))]


def over_counts(
    log_w: Float[AnyArray, "k b"],
) -> tuple[Float[Array, "b n"], Float[Array, "b n"]]:
    """The bound and the effective sample size at every K of `counts`, made of one set of weights.

    For K below K_max both are means over the disjoint groups of K in the order of the weights; what
    is left over where K does not divide K_max is not looked at. Each group is K independent
    weights, so that its bound has the expectation of a bound of K.

    Args:
      log_w: log-weights of `likelihood.log_weights`, [K_max, B].

    Returns:
      (bounds [B, n] in nats, (sum w)^2 / sum w^2 [B, n]).
    """
    num, batch = log_w.shape
    bounds, sizes = [], []
    for k in counts(num):
        groups = log_w[: num // k * k].reshape(num // k, k, batch)
        bound, ess = likelihood.bound_and_ess(groups, axis=1)
        bounds.append(jnp.mean(bound, axis=0))
        sizes.append(jnp.mean(ess, axis=0))
    return jnp.stack(bounds, axis=1), jnp.stack(sizes, axis=1)


def iwae_terms(
    model: Weights,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    num_samples: int,
    chunk: int,
) -> dict[str, Float[Array, "b n"]]:
    """For `Batched.map`: "value" and "ess" of `over_counts`, [B, n], of num_samples weights.

    The arguments are those of `likelihood.iwae_with_ess`, and so are the weights of the same key.
    """
    how = dict(num_samples=num_samples, chunk=chunk)
    bounds, sizes = over_counts(likelihood.log_weights(model, params, stats, batch, rng, **how))
    return {"value": bounds, "ess": sizes}


def difference(values: Float[np.ndarray, "n"], others: Float[np.ndarray, "n"]) -> Estimate:
    """Mean of values - others with the standard error of the difference, paired by image."""
    return mean_and_error(np.asarray(values, np.float64) - np.asarray(others, np.float64))
