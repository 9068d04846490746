"""Per-example functions over arrays of any length, on all devices."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vdp import parallel
from vdp.data.transforms import padded_batches


class Evaluator:
    """Maps jitted per-example functions over arrays of any length, on all devices."""

    def __init__(self, mesh, batch_size: int, seed: int):
        parallel.check_batch_size(mesh, batch_size, "eval.batch_size")
        self.batch_size = batch_size
        self.seed = seed
        self._constrain = parallel.batch_constraint(mesh)
        self._everywhere = parallel.replicated(mesh)
        self._jitted: dict[Any, Callable] = {}

    def jitted(self, key, function: Callable, *, split: bool = True) -> Callable:
        """function(params, stats, batch, rng), compiled once for each `key`.

        `split` spreads the batch over the devices, which its size then has to allow.
        """
        if key not in self._jitted:

            def on_devices(params, stats, batch, rng):
                batch = self._constrain(batch) if split else batch
                return function(params, stats, batch, rng)

            self._jitted[key] = jax.jit(on_devices, out_shardings=self._everywhere)
        return self._jitted[key]

    def each(self, key, function, params, stats, arrays):
        """Yields the results of `arrays` = (target, input, labels) batch by batch, as numpy.

        Batch i gets the key fold_in(key(seed), i): numbers depend on eval.seed and
        eval.batch_size, and on nothing else.
        """
        compiled = self.jitted(key, function)
        for index, (batch, real) in enumerate(padded_batches(*arrays, self.batch_size)):
            rng = jax.random.fold_in(jax.random.key(self.seed), index)
            result = compiled(params, stats, batch, rng)
            yield jax.tree.map(lambda x, real=real: np.asarray(x)[:real], result)

    def map(self, key, function, params, stats, arrays, *, progress=lambda done: None):
        """Results of all examples of `arrays`, [N, ...]."""
        results, done = [], 0
        for result in self.each(key, function, params, stats, arrays):
            results.append(result)
            done += len(jax.tree.leaves(result)[0])
            progress(done)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)
