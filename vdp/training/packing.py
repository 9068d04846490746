"""Many leaves as a few vectors, for updates that treat them alike.

XLA compiles an elementwise update leaf by leaf, a handful of kernels each: for a deep hierarchy
that is a third of the compilation. Over one vector it is a handful in all.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from vdp.types import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packing:
    """Replaces every subtree that has the parameters' structure by {label: vector} and back.

    Attributes:
      labels: tree of hashable labels like the parameters; leaves of one label share a vector.
      shapes: the parameters or their shapes, all of one dtype.
    """

    labels: Any
    shapes: Any

    def pack(self, tree: Any) -> Any:
        """A tree of parameter-like subtrees and other leaves, the subtrees packed."""
        structure: Any = jax.tree.structure(self.labels)
        alike = lambda node: structure == jax.tree.structure(node)
        return jax.tree.map(lambda n: self._join(n) if alike(n) else n, tree, is_leaf=alike)

    def unpack(self, tree: Any) -> Any:
        """The inverse of `pack`."""
        names = set(jax.tree.leaves(self.labels))
        packed = lambda node: isinstance(node, dict) and node.keys() == names
        return jax.tree.map(lambda n: self._split(n) if packed(n) else n, tree, is_leaf=packed)

    def _join(self, tree: Any) -> dict[Any, Shaped[Array, "_"]]:
        parts: dict[Any, list[Array]] = {}
        for label, leaf in zip(jax.tree.leaves(self.labels), jax.tree.leaves(tree), strict=True):
            parts.setdefault(label, []).append(jnp.ravel(leaf))
        return {label: jnp.concatenate(vectors) for label, vectors in parts.items()}

    def _split(self, vectors: dict[Any, Shaped[Array, "_"]]) -> Any:
        starts = dict.fromkeys(vectors, 0)

        def take(label: Any, shape: Any) -> Shaped[Array, "..."]:
            start = starts[label]
            starts[label] = stop = start + int(np.prod(shape.shape))
            return jax.lax.slice(vectors[label], (start,), (stop,)).reshape(shape.shape)

        return jax.tree.map(take, self.labels, self.shapes)
