"""CelebA (Liu et al. 2015) at 64x64 through tensorflow-datasets."""

from vdp.data.core import Info, Request, Splits
from vdp.data.sources import tfds

CROP = 148  # the centred square that is kept of the aligned 178x218 images


def info(arg: str, request: Request | None = None) -> Info:
    """64x64 RGB, unlabelled."""
    counts = {"train": 162_770, "test": 19_962}
    return Info(name="celeba", shape=(64, 64, 3), counts=counts)


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Crops the centre and resizes (box filter with antialiasing) while decoding."""
    wanted = "a prepared celeb_a"
    return info(arg), tfds.load_prepared(
        info(arg), request, wanted=wanted, builder_name="celeb_a", convert=_crop_and_resize
    )


def _crop_and_resize(image):
    from PIL import Image

    height, width = image.shape[:2]
    top, left = (height - CROP) // 2, (width - CROP) // 2
    square = Image.fromarray(image[top : top + CROP, left : left + CROP])
    return square.resize((64, 64), Image.Resampling.BOX)
