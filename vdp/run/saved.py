"""Samples as files: an archive of levels, or a folder of pictures."""

import pathlib

import numpy as np
from jaxtyping import UInt8

from vdp.errors import UserError
from vdp.runtime import files, npz


def check(path: pathlib.Path, channels: int) -> None:
    """Refuses a place for `write`, before what goes there is computed.

    Raises:
      UserError: its ending is that of another kind of file; PNG files hold one, three or four
        channels, and there are others; there is a file where a folder is needed, a folder where a
        file is, or something in that folder already; or the place cannot be written.
    """
    if path.suffix == ".npz":
        files.check_file(path)
        return
    files.check_ending(path, [".npz"])
    if channels not in (1, 3, 4):
        raise UserError(f"PNG files hold no {channels} channels: name a file that ends in .npz")
    files.check_empty(path, otherwise=", or a file that ends in .npz")


def write(path: pathlib.Path, images: UInt8[np.ndarray, "n h w c"], levels: int) -> None:
    """Writes images as levels into PATH.npz, or as PNG files into a folder; all of them or none.

    Args:
      path: ending in .npz, for an archive with `images` [N, H, W, C] and `levels`, which data sets
        are read from by npz:PATH; with another name a folder, for 00000.png and so on, where
        levels go from black to white.
      images: levels 0..levels - 1.
      levels: how many there are.

    Raises:
      UserError: as of `check`.
    """
    check(path, images.shape[-1])
    if path.suffix == ".npz":
        npz.write(path, {"images": images, "levels": levels})
        return
    from PIL import Image

    shades = np.rint(images * (255 / (levels - 1))).astype(np.uint8)
    digits = max(5, len(str(len(images) - 1)))
    with files.filling(path) as folder:
        for number, pixels in enumerate(shades):
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            picture.save(folder / f"{number:0{digits}d}.png")
