"""Images of files at the levels of a model, without splits, resizing or rounding."""

import pathlib

import numpy as np
from jaxtyping import UInt8

from vdp.data import depth
from vdp.data.core import Request
from vdp.data.sources import folder, npz
from vdp.errors import UserError
from vdp.settings import SPLITS


def read(path: pathlib.Path, levels: int) -> UInt8[np.ndarray, "n h w c"]:
    """All images of a folder or an archive: those of its train, validation and test in turn.

    Args:
      path: a folder of pictures, or a file that ends in .npz.
      levels: that the images are wanted at; greys are scaled where that loses nothing. Whole
        numbers of an archive that does not say its levels are taken as they are where they fit:
        dark images would look like ones of few levels.

    Raises:
      UserError: there are no images, or they have other levels.
    """
    source = npz if path.suffix.lower() == ".npz" else folder
    try:
        info, splits = source.load(str(path), Request(dir=None))
    except UserError as error:
        raise UserError(
            f"{error}; of images that are compressed no field of config.data is followed: they "
            "have to be of the run's size and depth"
        ) from error
    parts = [splits[name].images for name in SPLITS if name in splits]
    if len(shapes := {part.shape[1:] for part in parts}) > 1:
        raise UserError(f"the splits of {path} have images of several shapes: {sorted(shapes)}")
    images = np.concatenate(parts)
    plain = npz.plain_numbers(path) if source is npz and info.levels != levels else None
    if plain is not None and max(part.max() for part in plain.values()) < levels:
        return np.concatenate([plain[name].astype(np.uint8) for name in SPLITS if name in plain])
    scaled = depth.scaled(images, info.levels, levels)
    if not np.array_equal(depth.scaled(scaled, levels, info.levels), images):
        raise UserError(
            f"the images of {path} have {info.levels} levels, and cannot be brought to {levels} "
            "without loss: give images of the levels that the run was trained with"
        )
    return scaled
