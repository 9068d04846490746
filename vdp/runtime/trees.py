"""Names of the leaves of nested parameters, as settings, messages and exported files have them."""

import jax


def leaf_name(path: jax.tree_util.KeyPath) -> str:
    """The path of a leaf, "encoder/Dense_0/kernel"; "" of a tree that is one leaf."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
