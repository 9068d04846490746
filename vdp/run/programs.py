"""What a run computes without images: draws, and images of latents, in batches of one size."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vdp.errors import UserError
from vdp.metrics import per_batch
from vdp.metrics.batched import Batched
from vdp.runtime import interruption
from vdp.types import AnyArray, Key, Model, Params, Stats


def draws(
    batched: Batched,
    model: Model,
    params: Params,
    stats: Stats,
    function: Callable,
    num: int,
    seed: int | Key,
    **options: Any,
) -> np.ndarray:
    """`num` results of function(model, params, stats, rng, size, **options), [num, ...].

    Args:
      batched: compiles, for batches of its size.
      model: the function's first argument, as `params` and `stats` are its next.
      params: of the model.
      stats: of the model.
      function: of `vdp.metrics.per_batch`.
      num: how many.
      seed: of the draws, in 0..2**32 - 1, or a key.
      options: of the function, static.

    Raises:
      UserError: no seed, or nothing to draw.
    """
    size = batched.batch_size
    options |= dict(function=function, size=size)
    program = batched.compiled(per_batch.drawing, model, **options)
    if num < 1:
        raise UserError(f"one draw is the least: {num} were asked for")
    number = isinstance(seed, int | np.integer)
    if number and not 0 <= seed < 2**32:
        raise UserError(f"a seed lies in 0..{2**32 - 1}; {seed} would give another's draws")
    key = jax.random.key(int(seed)) if number else seed
    drawn = []
    for each in jax.random.split(key, -(-num // size)):
        drawn.append(np.asarray(program(params, stats, {}, each)))
        interruption.check()
    return np.concatenate(drawn)[:num]


def images(
    batched: Batched,
    model: Model,
    params: Params,
    stats: Stats,
    function: Callable,
    latents: AnyArray,
    x_shape: tuple[int, int, int],
) -> np.ndarray:
    """Results of function(model, params, stats, z, rng, x_shape=...) for all latents z, [N, ...].

    Args:
      batched: compiles, for batches of its size.
      model: the function's first argument, as `params` and `stats` are its next.
      params: of the model.
      stats: of the model.
      function: of `vdp.metrics.per_batch`.
      latents: [N, ...].
      x_shape: (H, W, C) of an image.
    """
    size = batched.batch_size
    program = batched.compiled(function, model, x_shape=x_shape)
    z, results, key = np.asarray(latents, np.float32), [], jax.random.key(0)
    for start in range(0, len(z), size):
        part = z[start : start + size]
        padded = np.resize(part, (size, *z.shape[1:]))
        results.append(np.asarray(program(params, stats, padded, key))[: len(part)])
        interruption.check()
    return np.concatenate(results)
