"""Bounds with a posterior found for every image by itself, in place of the encoder's.

log p(x) >= E_q[log p(x, z) - log q(z)] holds for every q, so also for one that was chosen by
looking at x. An encoder has to say it for all images at once, and loses by that: the amortisation
gap (Cremer et al. 2018). Here its outputs are where a gradient ascent on each image's own bound
starts (Kim et al. 2018); parameters stay as they are. The draws that the ascent has used are not
those by which its result is judged.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from vdp.metrics import likelihood, score
from vdp.types import Array, Batch, Key, Params, Refinable, Stats

ASCENT = 0xA5CE


def refined(
    model: Refinable,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    steps: int,
    rate: float,
) -> Batch:
    """The batch with encoder's outputs that ascend the bound of its images.

    Args:
      model: whose `elbo` is ascended, at one draw a step.
      params: of the model.
      stats: of the model.
      batch: B examples.
      rng: a key.
      steps: of Adam.
      rate: of its first step, in the unit of the encoder's outputs; falls to 0 as a cosine.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1)))
    start = jax.tree.map(jnp.float32, model.encoded(params, stats, batch))

    def objective(encoded: Any, key: Key) -> Float[Array, ""]:
        draw_rng, rng = jax.random.split(key)
        noise = model.draw(draw_rng, batch, purpose="loss")  # one time an image, where there are
        given = dataclasses.replace(batch, encoded=encoded)
        return -model.elbo(params, stats, given, rng, noise=noise).value.sum()

    def step(carry: tuple, key: Key) -> tuple[tuple, None]:
        encoded, state = carry
        updates, state = optimizer.update(jax.grad(objective)(encoded, key), state)
        return (optax.apply_updates(encoded, updates), state), None

    keys = jax.random.split(rng, steps)
    (encoded, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)
    return dataclasses.replace(batch, encoded=encoded)


def _of_ascent(rng: Key) -> Key:
    """A key for the ascent: rng itself is for the judging draws, those of the encoder's bound too.

    So the difference of the two bounds is paired by draw. The number is none of those that a split
    of rng gives.
    """
    return jax.random.fold_in(rng, ASCENT)


def flat_terms(
    model: Refinable,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    steps: int,
    rate: float,
) -> dict[str, Float[Array, "b"]]:
    """For `Batched.map`: `score.flat_terms` with refined posteriors; arguments as of `refined`."""
    batch = refined(model, params, stats, batch, _of_ascent(rng), steps=steps, rate=rate)
    return score.flat_terms(model, params, stats, batch, rng)


def iwae_terms(
    model: Refinable,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    steps: int,
    rate: float,
    num_samples: int,
    chunk: int,
) -> dict[str, Float[Array, "b"]]:
    """For `Batched.map`: `likelihood.iwae_terms` with refined posteriors.

    The arguments are those of `refined` and of `likelihood.iwae_with_ess`.
    """
    batch = refined(model, params, stats, batch, _of_ascent(rng), steps=steps, rate=rate)
    how = dict(num_samples=num_samples, chunk=chunk)
    return likelihood.iwae_terms(model, params, stats, batch, rng, **how)
