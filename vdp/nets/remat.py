"""What the backward pass of a block finds kept, and what it computes again."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name

from vdp.types import Array

KEPT = "kept"


def keep(x: Array) -> Array:
    """Marks an array that a block under `remat` keeps: small, and dear to compute again."""
    return checkpoint_name(x, KEPT)


def remat(block: type[nn.Module], static: Sequence[int] = ()) -> Any:
    """A block that keeps its input and what is marked by `keep`; the rest is computed again.

    With the outputs of its convolutions marked, what is left to compute again are normalisations
    and activations, which hold most of the memory and next to none of the arithmetic.

    Args:
      block: a class of blocks.
      static: places of the arguments of its call, self at 0, that are no arrays.

    Returns:
      A class of blocks with the same fields, parameters and results.
    """
    policy = jax.checkpoint_policies.save_only_these_names(KEPT)
    return nn.remat(block, static_argnums=tuple(static), policy=policy)
