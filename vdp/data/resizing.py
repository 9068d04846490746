"""Images brought to one size: `data.resize`."""

from collections import Counter

import numpy as np
from jaxtyping import Shaped

from vdp.errors import UserError

SHOWN = 5  # sizes that an error lists


def fit(image: Shaped[np.ndarray, "*s"], size: tuple[int, int] | None) -> Shaped[np.ndarray, "*t"]:
    """An image [H, W] or [H, W, C] at `size` (H', W'), of the same type and range.

    The shorter side (relative to `size`) is resized to its length and the centre is kept of the
    longer one. The filter is linear and widened where it shrinks (Pillow's BILINEAR, antialiased),
    so nothing overshoots; results are rounded to the nearest level.
    """
    if size is None or image.shape[:2] == size:
        return image
    from PIL import Image, ImageOps

    planes = np.atleast_3d(image).astype(np.float32)
    height, width = size
    resized = [
        ImageOps.fit(Image.fromarray(plane), (width, height), Image.Resampling.BILINEAR)
        for plane in np.moveaxis(planes, -1, 0)
    ]
    result = np.stack([np.asarray(plane) for plane in resized], axis=-1)
    if image.dtype.kind == "f":
        result = np.clip(result, image.min(), image.max())  # of rounding errors
    else:
        result = np.rint(result)
    return result.astype(image.dtype).reshape(*size, *image.shape[2:])


def every(
    images: Shaped[np.ndarray, "n ..."], size: tuple[int, int] | None
) -> Shaped[np.ndarray, "n ..."]:
    """Images [N, H, W, ...] of numbers at `size`, each as by `fit`; whole numbers stay whole."""
    if size in (None, images.shape[1:3]) or images.dtype.kind not in "buif":
        return images
    resized = np.stack([fit(image, size) for image in images])
    is_whole = images.dtype.kind == "f" and (images == np.rint(images)).all()
    return np.rint(resized) if is_whole else resized


def mixed(where: str, sizes: Counter[tuple[int, int]]) -> UserError:
    """The error for images of several sizes {(H, W): how many}, with the way out."""
    listed = [f"{height}x{width} of {count}" for (height, width), count in sizes.most_common(SHOWN)]
    listed += [f"{len(sizes) - SHOWN} more sizes"] if len(sizes) > SHOWN else []
    return UserError(
        f"images of {where} differ in size (HxW: {', '.join(listed)}): config.data.resize=HxW "
        "resizes their shorter side and crops the centre"
    )
