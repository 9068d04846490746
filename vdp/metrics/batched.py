"""Per-example functions over arrays of any length, on all devices."""

import functools
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from vdp.data.transforms import padded_batches
from vdp.runtime import interruption, parallel
from vdp.types import Arrays, Batch, Key, Params, Stats

PROGRAMS = 64  # compiled functions that are kept, of all there are of the class


@runtime_checkable
class Kept(Protocol):
    """Results of a function that returns a flat dict, as far as they are computed, [n, ...]."""

    def read(self) -> dict[str, np.ndarray]:
        """Those of examples 0 to n; {} where there are none."""
        ...

    def add(self, rows: dict[str, np.ndarray]) -> None:
        """Takes those of the next batch."""
        ...


Prepare = Callable[[Params, Stats, Batch, Key], Batch]


def unprepared(params: Params, stats: Stats, batch: Batch, rng: Key) -> Batch:
    """The batch as it is."""
    return batch


class Batched:
    """Maps functions of one batch over arrays of any length.

    A program is compiled for the function itself with its options: two functions never share one,
    and the same function with the same options is compiled once for equal models, wherever in the
    process it is asked for: a validation's program is the evaluation's too.

    Args:
      mesh: the devices.
      batch_size: of every program, a multiple of the devices.
      seed: batch i gets the key fold_in(key(seed), i).

    Raises:
      UserError: the batch size does not fall evenly on the devices.
    """

    def __init__(self, mesh: jax.sharding.Mesh, batch_size: int, seed: int) -> None:
        parallel.check_batch_size(mesh.size, batch_size, "eval.batch_size")
        self.batch_size = batch_size
        self.seed = seed
        self._mesh = mesh

    def reseeded(self, seed: int) -> "Batched":
        """The same with another seed; programs are shared."""
        return Batched(self._mesh, self.batch_size, seed)

    def compiled(
        self, function: Callable, model: Any, /, *, split: bool = True, **options: Any
    ) -> Callable:
        """The program (params, stats, batch, rng) -> function(model, params, stats, batch, rng).

        Args:
          function: pure; `options` are passed on to it as keywords and are static.
          model: its first argument, static.
          split: whether the batch is spread over the devices, which its size then has to allow.
          options: hashable, or else told apart by identity.
        """
        static = tuple((name, _hashable(value)) for name, value in sorted(options.items()))
        return _program(self._mesh, function, _hashable(model), split, static)

    def each(
        self,
        function: Callable,
        model: Any,
        params: Params,
        stats: Stats,
        arrays: Arrays,
        /,
        *,
        start: int = 0,
        prepare: Prepare = unprepared,
        **options: Any,
    ) -> Iterator[Any]:
        """Yields the results of all examples batch by batch, as numpy, without those of padding.

        Numbers depend on the seed and the batch size, and on nothing else.

        Args:
          function: as of `compiled`, like `model` and `options`.
          model: the function's first argument.
          params: of the model.
          stats: of the model.
          arrays: (target, input, labels): uint8 images twice, and labels, of one length N.
          start: batches before this one are left out.
          prepare: makes of a batch the one that the function gets, with the same key.
          options: of the function.
        """
        program = self.compiled(function, model, **options)
        batches = enumerate(padded_batches(*arrays, self.batch_size))
        for index, (batch, real) in itertools.islice(batches, start, None):
            rng = jax.random.fold_in(jax.random.key(self.seed), index)
            result = program(params, stats, prepare(params, stats, batch, rng), rng)
            yield jax.tree.map(lambda x, real=real: np.asarray(x)[:real], result)
            interruption.check()

    def map(
        self,
        function: Callable,
        model: Any,
        params: Params,
        stats: Stats,
        arrays: Arrays,
        /,
        *,
        progress: Callable[[int], None] = lambda done: None,
        kept: Kept | None = None,
        prepare: Prepare = unprepared,
        **options: Any,
    ) -> Any:
        """Results of all examples of `arrays` = (target, input, labels), [N, ...].

        Args:
          function: as of `compiled`, like `model` and `options`.
          model: the function's first argument.
          params: of the model.
          stats: of the model.
          arrays: uint8 images twice, and labels, of one length N.
          progress: told how many examples are done.
          kept: results to go on from: what it has is not computed again.
          prepare: as of `each`.
          options: of the function.
        """
        length = lambda result: len(jax.tree.leaves(result)[0])
        results = [rows] if kept and (rows := kept.read()) else []
        done = sum(map(length, results))
        first = -(-done // self.batch_size)
        how = dict(start=first, prepare=prepare, **options)
        for result in self.each(function, model, params, stats, arrays, **how):
            results.append(result)
            done += length(result)
            if kept:
                kept.add(result)
            progress(done)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


@functools.lru_cache(PROGRAMS)
def _program(
    mesh: jax.sharding.Mesh,
    function: Callable,
    model: Hashable,
    split: bool,
    static: tuple[tuple[str, Hashable], ...],
) -> Callable:
    options = {name: _value(value) for name, value in static}
    constrain = parallel.batch_constraint(mesh)

    def on_devices(params: Params, stats: Stats, batch: Any, rng: Key) -> Any:
        batch = constrain(batch) if split else batch
        result = function(_value(model), params, stats, batch, rng, **options)
        if jax.tree.leaves(batch) or any(len(x) % mesh.size for x in jax.tree.leaves(result)):
            return result
        return constrain(result)  # no batch spreads draws: each device would make all of them

    # What a compiler's log and a profile call the program.
    on_devices.__name__ = getattr(function, "__name__", "program")
    return jax.jit(on_devices, out_shardings=parallel.replicated(mesh))


class _Identity:
    """Stands for an object that cannot be hashed: equal to nothing but itself."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return value


def _value(value: Any) -> Any:
    return value.value if isinstance(value, _Identity) else value
