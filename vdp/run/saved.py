"""Samples as files: an archive of levels, or a folder of pictures."""

import pathlib

import numpy as np
from jaxtyping import UInt8

from vdp.errors import UserError
from vdp.runtime import files, npz


def check(path: pathlib.Path, channels: int) -> None:
    """Refuses a place for `write`, before what goes there is computed.

    Raises:
      UserError: PNG files hold one, three or four channels, and there are others; or there is a
        file where a folder is needed, or something in that folder already.
    """
    if path.suffix == ".npz":
        return
    if channels not in (1, 3, 4):
        raise UserError(f"PNG files hold no {channels} channels: name a file that ends in .npz")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is no empty folder: name another, or a file that ends in .npz")


def write(path: pathlib.Path, images: UInt8[np.ndarray, "n h w c"], levels: int) -> None:
    """Writes images as levels into PATH.npz, or as PNG files into a folder.

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

    path.mkdir(parents=True, exist_ok=True)
    shades = np.rint(images * (255 / (levels - 1))).astype(np.uint8)
    digits = max(5, len(str(len(images) - 1)))
    for number, pixels in enumerate(shades):
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        with files.replacing(path / f"{number:0{digits}d}.png") as temporary:
            picture.save(temporary)
