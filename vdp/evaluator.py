"""Per-example functions over arrays of any length, on all devices."""

import itertools
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

    def each(self, key, function, params, stats, arrays, *, start: int = 0):
        """Yields the results of `arrays` = (target, input, labels) batch by batch, as numpy.

        Batch i gets the key fold_in(key(seed), i): numbers depend on eval.seed and
        eval.batch_size, and on nothing else. Batches before `start` are left out.
        """
        compiled = self.jitted(key, function)
        batches = enumerate(padded_batches(*arrays, self.batch_size))
        for index, (batch, real) in itertools.islice(batches, start, None):
            rng = jax.random.fold_in(jax.random.key(self.seed), index)
            result = compiled(params, stats, batch, rng)
            yield jax.tree.map(lambda x, real=real: np.asarray(x)[:real], result)

    def map(self, key, function, params, stats, arrays, *, progress=lambda done: None, kept=None):
        """Results of all examples of `arrays`, [N, ...].

        `progress` is told how many examples are done. What `kept`, the `unfinished.Rows` of a
        function that returns a flat dict, has is not computed again.
        """
        length = lambda result: len(jax.tree.leaves(result)[0])
        results = [rows] if kept and (rows := kept.read()) else []
        done = sum(map(length, results))
        first = -(-done // self.batch_size)
        for result in self.each(key, function, params, stats, arrays, start=first):
            results.append(result)
            done += length(result)
            if kept:
                kept.add(result)
            progress(done)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)
