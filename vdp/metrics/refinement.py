"""Posteriors found for every image by itself, in place of the encoder's.

log p(x) >= E_q[log p(x, z) - log q(z)] holds for every q, so also for one that was chosen by
looking at x. An encoder gives the posteriors of all images by one function, and loses by that: the
amortisation gap (Cremer et al. 2018). Here a gradient ascent on each image's own bound starts at
its outputs (Kim et al. 2018); parameters stay as they are. The draws that the ascent has used are
not those by which its result is judged.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from vdp.metrics.batched import Batched
from vdp.runtime import interruption
from vdp.types import Array, Batch, Key, Params, Refinable, Stats

ASCENT = 0xA5CEA5CE  # above every index that a key can be split to


class Ascent:
    """From a batch to the same one with outputs of the encoder that ascend its images' bounds.

    It is called (params, stats, batch, rng), as `prepare` of `Batched.map`. The key rng itself is
    left for the judging draws: they are then those of the encoder's bound too, and the difference
    is paired. Every step is a program of its own, because gradients of convolutions inside a scan
    are slow on CPUs.

    Args:
      batched: compiles the two programs.
      model: whose bound is ascended, at one draw a step.
      steps: of Adam.
      rate: of its first step, in the unit of the encoder's outputs; falls to 0 as a cosine.
    """

    def __init__(self, batched: Batched, model: Refinable, *, steps: int, rate: float) -> None:
        self._steps = steps
        self._start = batched.compiled(start, model, steps=steps, rate=rate)
        self._ascend = batched.compiled(ascend, model.ascended(), steps=steps, rate=rate)

    def __call__(self, params: Params, stats: Stats, batch: Batch, rng: Key) -> Batch:
        """The batch with `encoded`; the arguments are those of a function that is mapped."""
        key = jax.random.fold_in(rng, ASCENT)
        encoded, state = self._start(params, stats, batch, key)
        for step in range(self._steps):
            given = batch, encoded, state
            encoded, state = self._ascend(params, stats, given, jax.random.fold_in(key, step))
            interruption.check()
        return dataclasses.replace(batch, encoded=encoded)


def _adam(steps: int, rate: float) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def start(
    model: Refinable, params: Params, stats: Stats, batch: Batch, rng: Key,
    *, steps: int, rate: float,
) -> tuple[Any, Any]:  # fmt: skip
    """(the encoder's outputs as float32, a state of Adam for every image), leaves [B, ...]."""
    encoded = jax.tree.map(jnp.float32, model.encoded(params, stats, batch))
    return encoded, jax.vmap(_adam(steps, rate).init)(encoded)


def ascend(
    model: Refinable, params: Params, stats: Stats, given: tuple[Batch, Any, Any], rng: Key,
    *, steps: int, rate: float,
) -> tuple[Any, Any]:  # fmt: skip
    """One step up the bound: what `start` gives, from the batch and what it gave before."""
    batch, encoded, state = given
    draw_rng, rest_rng = jax.random.split(rng)
    noise = model.draw(draw_rng, batch, purpose="loss")  # one time an image, where there are

    def minus_bounds(encoded: Any) -> Float[Array, ""]:
        given = dataclasses.replace(batch, encoded=encoded)
        return -model.elbo(params, stats, given, rest_rng, noise=noise).value.sum()

    updates, state = jax.vmap(_adam(steps, rate).update)(jax.grad(minus_bounds)(encoded), state)
    return optax.apply_updates(encoded, updates), state
