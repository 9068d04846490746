"""One picture of a folder: its greys or colours at the depth of the file, upright and opaque."""

import dataclasses
import pathlib
import re

import numpy as np
from jaxtyping import Shaped

from vdp.data import resizing
from vdp.data.core import Request
from vdp.data.sources import _files
from vdp.errors import UserError

SHALLOW = re.compile(r"L;([24])I?R?")  # Pillow's names of grey of 2 and 4 bits, stretched to 255
WHITE_IS_ZERO = 0  # of a TIFF's tag 262, which Pillow follows up to 8 bits
SEVERAL_VIEWS = {"MPO"}  # cameras keep a thumbnail beside the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """Pixels [H, W] where the picture is grey, else [H, W, 3].

    Attributes:
      pixels: levels of the file's depth; int32 or float32 where it does not say how many.
      levels: the depth: 2, 4, 16, 256 or 65,536; 0 where it is not known.
    """

    pixels: Shaped[np.ndarray, "..."]
    levels: int


def read(path: pathlib.Path, request: Request) -> Picture:
    """Reads one file, turned as its EXIF says, without transparency, at `data.resize`.

    Raises:
      UserError: it cannot be read, holds several frames, or is drawn in transparency alone on
        `data.background`; colours of 16 bits, which Pillow reads at 8, without `data.levels`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        # of a name Pillow maps raw pixels into memory, and turned ones at the wrong width
        with path.open("rb") as file, Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format not in SEVERAL_VIEWS:
                raise _files.corrupt(path, f"it holds {frames} frames", "save them one by one")
            given = [tile[3] for tile in image.tile]  # gone when it is loaded
            coding = [str(args[0] if isinstance(args, tuple) and args else args) for args in given]
            negative = getattr(image, "tag_v2", {}).get(262) == WHITE_IS_ZERO
            image.load()
            upright = ImageOps.exif_transpose(image)
            picture = _decoded(path, upright, " ".join(dict.fromkeys(coding)), request)
            if negative and picture.levels > 256:
                picture = dataclasses.replace(picture, pixels=picture.levels - 1 - picture.pixels)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise _files.corrupt(path, "it is no picture that Pillow knows") from error
    except Exception as error:  # Pillow raises nearly anything on a damaged file
        raise _files.corrupt(path, _files.said(error)) from error
    return dataclasses.replace(picture, pixels=resizing.fit(picture.pixels, request.size))


def _decoded(path: pathlib.Path, image, coding: str, request: Request) -> Picture:
    is_deep_grey = image.mode.startswith("I")
    if is_deep_grey and image.has_transparency_data:
        raise _files.corrupt(path, "it has 16 bits and a transparent grey", "save it without")
    if ";16" in coding and not is_deep_grey and not request.levels:
        mend = "config.data.levels=256 reads the upper 8 bits"  # all that Pillow keeps
        raise _files.corrupt(path, "its colours or its transparency have 16 bits", mend)
    if image.has_transparency_data:
        colours = on_background(image.convert("RGBA"), request.background, where=str(path))
        return Picture(pixels=without_equal_channels(colours), levels=256)
    if image.mode == "1":
        return Picture(pixels=np.asarray(image), levels=2)
    if coding == "I;12":
        raise _files.corrupt(path, "its greys have 12 bits", "save it with 8 or 16")
    if image.mode == "L":
        bits = SHALLOW.fullmatch(coding)
        levels = 2 ** int(bits[1]) if bits else 256
        return Picture(pixels=np.asarray(image) // (255 // (levels - 1)), levels=levels)
    if image.mode.startswith("I;16"):
        return Picture(pixels=np.asarray(image).astype(np.uint16), levels=65_536)
    if image.mode in ("I", "F"):
        return Picture(pixels=np.asarray(image), levels=0)
    colours = _from_lab(image) if image.mode == "LAB" else image.convert("RGB")
    return Picture(pixels=without_equal_channels(np.asarray(colours)), levels=256)


def on_background(image, background: str, *, where: str) -> Shaped[np.ndarray, "h w 3"]:
    """The colours of a Pillow image of mode RGBA in front of "white" or "black", uint8 [H, W, 3].

    Raises:
      UserError: nothing of a picture that has transparent and opaque parts is seen in front of it.
    """
    from PIL import Image

    ground = Image.new("RGBA", image.size, background)
    colours = Image.alpha_composite(ground, image).convert("RGB")
    is_plain = lambda part: all(low == high for low, high in part.getextrema())
    transparency = Image.merge("RGB", [image.getchannel("A")] * 3)
    if is_plain(colours) and not is_plain(transparency):
        other = "black" if background == "white" else "white"
        raise UserError(
            f"nothing of {where} is seen on {background}, as it is drawn in transparency: "
            f"config.data.background={other}"
        )
    return np.asarray(colours)


def without_equal_channels(colours: Shaped[np.ndarray, "h w 3"]) -> Shaped[np.ndarray, "..."]:
    """[H, W] where the three channels are the same, else the colours."""
    first = colours[..., :1]
    return colours[..., 0] if (colours == first).all() else colours


def _from_lab(image):
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
