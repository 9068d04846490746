"""How many bits a general compressor needs for an image: a likelihood that knows no data set."""

import io
import zlib

import numpy as np
from jaxtyping import Float64, UInt8

GREY, COLOUR = 1, 3  # channels that a PNG file can have


def compressed_bits(images: UInt8[np.ndarray, "n h w c"]) -> Float64[np.ndarray, "n"]:
    """Bits of each image as a PNG file, or by zlib where it has not one or three channels, [N].

    The input complexity of Serra et al. 2020. Headers, which are alike for all images of one shape,
    are counted.
    """
    return np.array([8.0 * _bytes(image) for image in images])


def _bytes(image: UInt8[np.ndarray, "h w c"]) -> int:
    if image.shape[2] not in (GREY, COLOUR):
        return len(zlib.compress(image.tobytes(), 9))
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == GREY else image).save(
        file, format="png", optimize=True
    )
    return file.getbuffer().nbytes
