"""Images that somebody gives to a run, checked and made what its model takes."""

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from vdp.data import datasets
from vdp.data.datasets import Facts
from vdp.errors import UserError
from vdp.types import AnyArray

Inputs = tuple[UInt8[np.ndarray, "n h w c"], UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]


def arrays(x: AnyArray, facts: Facts, *, seed: int, labels: AnyArray | None = None) -> Inputs:
    """(target, input, labels) of images as the encoder sees them.

    Args:
      x: uint8 levels [N, H, W, C], or [N, H, W] where C is 1.
      facts: of the images that the model is made for.
      seed: of the target's binarisation, where the encoder sees grey and the target is 0/1.
      labels: classes [N], whole numbers, -1 where there is none; None: there are none.

    Raises:
      UserError: another shape, type or more levels than the model's images have, or labels that
        are not one class of the data for each.
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
    return target, x, _classes(labels, len(x), facts.info.num_classes)


def _classes(labels: AnyArray | None, num: int, classes: int) -> Int32[np.ndarray, "n"]:
    if labels is None:
        return np.full(num, -1, np.int32)
    given = np.asarray(labels)
    if given.shape != (num,) or given.dtype.kind not in "iu":
        raise UserError(f"labels must be whole numbers [{num}], not {given.dtype} {given.shape}")
    if given.min() < -1 or given.max() >= classes:
        few = f"classes 0..{classes - 1}, or -1" if classes else "-1, for the data has no classes"
        raise UserError(f"labels of this data are {few}")
    return given.astype(np.int32)


def seed(number: int | np.integer) -> int:
    """The number, which has to be a seed; UserError."""
    if not 0 <= number < 2**32:
        raise UserError(f"a seed lies in 0..{2**32 - 1}; {number} would give another's draws")
    return int(number)


def latents(z: AnyArray, shape: tuple[int, ...]) -> Float32[np.ndarray, "n *z"]:
    """Latents [N, *shape] that somebody gives; UserError for another shape, or none."""
    given = np.asarray(z, np.float32)
    if given.shape[1:] != shape or not given.size:
        one = "; pass one latent as z[None]" if given.shape == shape else ""
        wanted = ", ".join(["N", *map(str, shape)])
        raise UserError(f"latents must be [{wanted}], not {list(given.shape)}{one}")
    return given
