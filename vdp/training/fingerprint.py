"""A short sum over the bits of every array, by which damage and other parameters are noticed."""

import json
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Shaped, UInt32

from vdp.runtime import hashes
from vdp.types import Array


@jax.jit  # by leaf: many have one shape, and a program of all of them takes long to compile
def _sum(leaf: Shaped[Array, "..."]) -> UInt32[Array, ""]:
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint64}[leaf.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(leaf, width).astype(jnp.uint32).reshape(-1)
    # integer sums do not depend on their order, so neither on the number of devices
    return jnp.sum(bits * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)


def fingerprint(tree: Any) -> dict[str, int]:
    """A 32-bit sum of every leaf's bits, weighted by position, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    sums = [(path, _sum(leaf)) for path, leaf in leaves]  # all are started before one is awaited
    return {jax.tree_util.keystr(path): int(of_leaf) for path, of_leaf in sums}


def digest(tree: Any) -> str:
    """One hash of all sums and their paths: 16 hexadecimal digits. All processes ask together."""
    return hashes.digest(json.dumps(fingerprint(tree), sort_keys=True))[:16]
