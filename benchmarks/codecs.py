"""Bits per dimension and seconds of a run's compression, compared with general programs.

python -m benchmarks.codecs --workdir=RUN [--split=test] [--num=0] [--batch_size=0]

The same images (`num` of them; 0: all): by the run's model; as PNG, lossless WebP and lossless JPEG
XL, in one file for each image and as one picture of all; as one piece of bytes by zlib, bzip2, lzma
and Zstandard. Levels are stored as they are, 0/1 images in one bit a pixel where the format has
that. JPEG XL and Zstandard ask for the packages pillow-jxl-plugin and zstandard, and are left out
without them. Prints a Markdown table.
"""

import bz2
import importlib.util
import io
import lzma
import math
import time
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmarks import command
from vdp.errors import Parser
from vdp.record import read_run
from vdp.run import Run, restore
from vdp.runtime import markdown

FORMATS = {
    "PNG": {"optimize": True},
    "WebP": {"lossless": True, "quality": 100, "method": 6},
    "JXL": {"lossless": True, "effort": 9},
}


def picture(pixels: np.ndarray, levels: int) -> Image.Image:
    """Levels [H, W, C] as a picture of Pillow; 0/1 greys have one bit a pixel."""
    if pixels.shape[-1] == 1 and levels == 2:
        return Image.fromarray(pixels[..., 0].astype(bool))
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def saved(pixels: np.ndarray, levels: int, kind: str) -> int:
    """Bytes of one file of a picture."""
    buffer = io.BytesIO()
    shown = picture(pixels, levels)
    if kind == "JXL" and shown.mode == "1":  # which has no single bits
        shown = Image.fromarray(pixels[..., 0])
    shown.save(buffer, kind, **FORMATS[kind])
    return len(buffer.getvalue())


def in_rows(images: np.ndarray) -> np.ndarray:
    """All images in one picture, nearly square; unused places are black."""
    num, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    full = np.zeros((rows * columns, height, width, channels), np.uint8)
    full[:num] = images
    grid = full.reshape(rows, columns, height, width, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def packed(images: np.ndarray, levels: int) -> bytes:
    """The pixels in one piece, 0/1 images in one bit a pixel."""
    return (np.packbits(images) if levels == 2 else images).tobytes()


def general(images: np.ndarray, levels: int) -> dict[str, Callable[[], int]]:
    """Bytes by the name of what writes them."""
    raw, mosaic = packed(images, levels), in_rows(images)
    found: dict[str, Callable[[], int]] = {}
    kinds = list(FORMATS)
    if importlib.util.find_spec("pillow_jxl"):
        importlib.import_module("pillow_jxl")  # which makes the format known to Pillow
    else:
        kinds.remove("JXL")
    for kind in kinds:
        found[f"{kind}, each image"] = lambda kind=kind: sum(
            saved(image, levels, kind) for image in images
        )
        found[f"{kind}, one picture"] = lambda kind=kind: saved(mosaic, levels, kind)
    found["zlib"] = lambda: len(zlib.compress(raw, 9))
    found["bzip2"] = lambda: len(bz2.compress(raw, 9))
    found["lzma"] = lambda: len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))
    if importlib.util.find_spec("zstandard"):
        zstandard = importlib.import_module("zstandard")
        found["Zstandard"] = lambda: len(zstandard.ZstdCompressor(level=22).compress(raw))
    return found


def by_model(run: Run, images: np.ndarray) -> list[tuple[str, float, float]]:
    """(name, bytes, seconds) of the run's file, of its bits alone, and of reading it again."""
    start = time.perf_counter()
    encoded = run.encoded(images)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    assert np.array_equal(run.decompress(encoded.content), images)
    back = time.perf_counter() - start
    rows = [("vdp, the file", float(len(encoded.content)), seconds)]
    rows.append(("vdp, its bits without head and initial bits", encoded.bits.sum() / 8, seconds))
    return [*rows, ("vdp, reading the file", float(len(encoded.content)), back)]


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--num", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=0)
    flags = parser.parse_args()
    record = read_run(flags.workdir)
    settings = record.settings.replace(codec=dict(batch_size=flags.batch_size))
    run = restore(settings, record, settings.codec.checkpoint)
    images = run.images(flags.split)[: flags.num or None]
    rows = by_model(run, images)
    for name, count in general(images, run.facts.levels).items():
        start = time.perf_counter()
        size = count()
        rows.append((name, float(size), time.perf_counter() - start))
    print(f"{len(images)} images of {'x'.join(map(str, run.facts.shape))}, {run}\n")
    cells = [
        (name, f"{size:,.0f}", f"{8 * size / images.size:.3f}", f"{seconds:.2f}")
        for name, size, seconds in rows
    ]
    print("\n".join(markdown.table(("by", "bytes", "bits/dim", "seconds"), cells)))


if __name__ == "__main__":
    command.run(main)
