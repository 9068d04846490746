"""Many leaves as a few vectors, for updates that treat them alike.

XLA compiles an elementwise update leaf by leaf, a handful of kernels each: for a deep hierarchy
that is a third of the compilation on CPU, and on a GPU a third of the kernels of a step. Over one
vector it is a handful in all. From dispatch to dispatch a run carries the vectors: only the
parameters are taken apart, for the model, and only gradients joined. What is evaluated and saved
has its leaves again.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Shaped

from vdp.types import AnyArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packing:
    """Replaces every subtree that has the parameters' structure by {label: vector} and back.

    Attributes:
      labels: tree of hashable labels like the parameters; leaves of one label share a vector.
      shapes: the parameters or their shapes, all of one dtype.
    """

    labels: Any
    shapes: Any

    def pack(self, tree: Any, numpy: Any = jnp) -> Any:
        """A tree of parameter-like subtrees and other leaves, the subtrees packed.

        Args:
          tree: of jax's arrays or numpy's.
          numpy: jax.numpy, or numpy for what is not to be compiled.
        """
        structure: Any = jax.tree.structure(self.labels)
        alike = lambda node: structure == jax.tree.structure(node)
        join = lambda node: self._join(node, numpy) if alike(node) else node
        return jax.tree.map(join, tree, is_leaf=alike)

    def unpack(self, tree: Any) -> Any:
        """The inverse of `pack`."""
        names = set(jax.tree.leaves(self.labels))
        packed = lambda node: isinstance(node, dict) and node.keys() == names
        return jax.tree.map(lambda n: self._split(n) if packed(n) else n, tree, is_leaf=packed)

    def _alike(self) -> dict[Any, dict[tuple[int, ...], list[int]]]:
        """Positions of the leaves, by label and shape.

        A vector has leaves of one shape side by side: a GPU takes all of them out of it with a few
        kernels, not with one for each.
        """
        alike: dict[Any, dict[tuple[int, ...], list[int]]] = {}
        leaves = zip(jax.tree.leaves(self.labels), jax.tree.leaves(self.shapes), strict=True)
        for position, (label, leaf) in enumerate(leaves):
            alike.setdefault(label, {}).setdefault(leaf.shape, []).append(position)
        return alike

    def _join(self, tree: Any, numpy: Any) -> dict[Any, Shaped[AnyArray, "_"]]:
        leaves, vectors = jax.tree.leaves(tree), {}
        for label, groups in self._alike().items():
            parts = [
                numpy.concatenate([leaves[position].reshape(-1) for position in positions])
                for positions in groups.values()
            ]
            # behind a barrier, XLA joins many small gradients in fewer kernels of a GPU
            vectors[label] = numpy.concatenate(
                jax.lax.optimization_barrier(parts) if numpy is jnp else parts
            )
        return vectors

    def _split(self, vectors: dict[Any, Shaped[AnyArray, "_"]]) -> Any:
        leaves: dict[int, AnyArray] = {}
        for label, groups in self._alike().items():
            start = 0
            for shape, positions in groups.items():
                stop = start + len(positions) * math.prod(shape)
                rows = vectors[label][start:stop].reshape(len(positions), *shape)
                leaves |= dict(zip(positions, rows, strict=True))
                start = stop
        ordered = [leaves[position] for position in range(len(leaves))]
        return jax.tree.unflatten(jax.tree.structure(self.shapes), ordered)
