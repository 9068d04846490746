"""Integer levels of images, 0..num_levels - 1, as numbers and back: one conversion for each range.

The first two take numpy or jax arrays of any type and shape, and return float32 of the same kind.
"""

import numpy as np
from jaxtyping import Float, Float32, Real, UInt8

from vdp.types import SameArray


def to_unit(levels: Real[SameArray, "*s"], num_levels: int) -> Float32[SameArray, "*s"]:
    """Level / (num_levels - 1), in [0, 1]."""
    return levels.astype(np.float32) / (num_levels - 1)


def to_symmetric(levels: Real[SameArray, "*s"], num_levels: int) -> Float32[SameArray, "*s"]:
    """2 * level / (num_levels - 1) - 1, in [-1, 1]."""
    return 2.0 * levels.astype(np.float32) / (num_levels - 1) - 1.0


def from_unit(images: Float[np.ndarray, "*s"], num_levels: int) -> UInt8[np.ndarray, "*s"]:
    """Images in [0, 1], or a little outside, rounded to uint8 levels as of a data set."""
    return np.rint(np.clip(images, 0, 1) * (num_levels - 1)).astype(np.uint8)
