"""What a run computes without images: draws, and images of latents, in batches of one size."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vdp.errors import UserError
from vdp.metrics import per_batch
from vdp.run import inputs
from vdp.run.base import Base
from vdp.runtime import interruption
from vdp.types import AnyArray, Key, Model


def draws(
    run: Base[Model], function: Callable, num: int, seed: int | Key, **options: Any
) -> np.ndarray:
    """`num` results of function(model, params, stats, rng, size, **options), [num, ...].

    Args:
      run: whose model, parameters and batches these are.
      function: of `vdp.metrics.per_batch`.
      num: how many.
      seed: of the draws, in 0..2**32 - 1, or a key.
      options: of the function, static.

    Raises:
      UserError: no seed, or nothing to draw.
    """
    size = run.batched.batch_size
    options |= dict(function=function, size=size)
    program = run.batched.compiled(per_batch.drawing, run.model, **options)
    if num < 1:
        raise UserError(f"one draw is the least: {num} were asked for")
    key = jax.random.key(inputs.seed(seed)) if isinstance(seed, int | np.integer) else seed
    drawn = []
    for each in jax.random.split(key, -(-num // size)):
        drawn.append(np.asarray(program(run.params, run.stats, {}, each)))
        interruption.check()
    return np.concatenate(drawn)[:num]


def images(run: Base[Model], function: Callable, z: AnyArray, shape: tuple[int, ...]) -> np.ndarray:
    """Results of function(model, params, stats, z, rng, x_shape=...) for all latents z, [N, ...].

    Args:
      run: whose model, parameters and batches these are.
      function: of `vdp.metrics.per_batch`.
      z: latents, [N, *shape].
      shape: of one latent.

    Raises:
      UserError: latents of another shape, or none.
    """
    size, given = run.batched.batch_size, inputs.latents(z, shape)
    program = run.batched.compiled(function, run.model, x_shape=run.facts.shape)
    results, key = [], jax.random.key(0)
    for start in range(0, len(given), size):
        part = given[start : start + size]
        padded = np.resize(part, (size, *shape))
        results.append(np.asarray(program(run.params, run.stats, padded, key))[: len(part)])
        interruption.check()
    return np.concatenate(results)
