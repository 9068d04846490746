"""Many leaves as a few vectors, for updates that treat them alike.

XLA compiles an elementwise update leaf by leaf, a handful of kernels each: for a deep hierarchy
that is a third of the compilation. Over one vector it is a handful in all. From dispatch to
dispatch a run carries the vectors: only the parameters are taken apart, for the model, and only
gradients joined. What is evaluated and saved has its leaves again.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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

    def _join(self, tree: Any, numpy: Any) -> dict[Any, Shaped[AnyArray, "_"]]:
        parts: dict[Any, list[AnyArray]] = {}
        for label, leaf in zip(jax.tree.leaves(self.labels), jax.tree.leaves(tree), strict=True):
            parts.setdefault(label, []).append(leaf.reshape(-1))
        return {label: numpy.concatenate(vectors) for label, vectors in parts.items()}

    def _split(self, vectors: dict[Any, Shaped[AnyArray, "_"]]) -> Any:
        starts = dict.fromkeys(vectors, 0)

        def take(label: Any, shape: Any) -> Shaped[AnyArray, "..."]:
            start = starts[label]
            starts[label] = stop = start + int(np.prod(shape.shape))
            return vectors[label][start:stop].reshape(shape.shape)

        return jax.tree.map(take, self.labels, self.shapes)
