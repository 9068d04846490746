"""Images that somebody gives to a run, checked and made what its model takes."""

import numpy as np
from jaxtyping import Int32, UInt8

from vdp.data import datasets
from vdp.data.datasets import Facts
from vdp.errors import UserError
from vdp.types import AnyArray

Inputs = tuple[UInt8[np.ndarray, "n h w c"], UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]


def arrays(x: AnyArray, facts: Facts, *, seed: int) -> Inputs:
    """(target, input, labels) of images as the encoder sees them; labels are -1.

    Args:
      x: uint8 levels [N, H, W, C], or [N, H, W] where C is 1.
      facts: of the images that the model is made for.
      seed: of the target's binarisation, where the encoder sees grey and the target is 0/1.

    Raises:
      UserError: another shape, type or more levels than the model's images have.
    """
    given = np.asarray(x)
    x = given[..., None] if given.ndim == 3 and facts.shape[-1] == 1 else given
    if x.dtype != np.uint8 or x.shape[1:] != facts.shape:
        one = "; pass one image as x[None]" if given.shape == facts.shape else ""
        raise UserError(
            f"images must be uint8 [N, {', '.join(map(str, facts.shape))}], not "
            f"{given.dtype} {list(given.shape)}{one}"
        )
    if not len(x):
        raise UserError("there are no images: give at least one")
    if x.max() >= facts.input_levels:
        hint = " (vdp.data.datasets.binarize)" if facts.input_levels == 2 else ""
        raise UserError(f"this model's images have levels 0..{facts.input_levels - 1}{hint}")
    target = x
    if facts.levels != facts.input_levels:  # the encoder sees grey, the target is 0/1
        target = datasets.binarize(x, facts.input_levels, seed)
    return target, x, np.full(len(x), -1, np.int32)
