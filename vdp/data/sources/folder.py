"""`folder:PATH`: a folder of PNG, JPEG, BMP or WebP images of one size.

Sub-folders `train` and `test`, where both exist, are the splits; the folders below that are the
classes. Grey where every file is, else RGB.
"""

import pathlib

import numpy as np

from vdp.data.core import Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files
from vdp.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
GREY_MODES = {"L", "1", "I;16"}


def _root(arg: str) -> pathlib.Path:
    root = pathlib.Path(arg).expanduser()
    if not arg or not root.is_dir():
        raise UserError(f"folder:PATH needs an existing folder of images, and {arg!r} is none")
    return root


def _files_of(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


def _read(arg: str) -> tuple[Info, Splits]:
    from PIL import Image

    root = _root(arg)
    parts = {name: root / name for name in ("train", "test") if (root / name).is_dir()}
    parts = parts if len(parts) == 2 else {"train": root}
    files = {name: _files_of(folder) for name, folder in parts.items()}
    if not all(files.values()):
        raise UserError(f"folder {root} holds no images ({', '.join(sorted(SUFFIXES))})")
    classes = sorted({str(p.parent.relative_to(parts[n])) for n, ps in files.items() for p in ps})
    images = {}
    for path in (path for paths in files.values() for path in paths):
        try:
            with Image.open(path) as image:
                image.load()
                images[path] = image.convert("L" if image.mode in GREY_MODES else "RGB")
        except OSError as error:
            raise _files.corrupt(path, str(error)) from error
    mode = "L" if all(image.mode == "L" for image in images.values()) else "RGB"
    sizes = {image.size for image in images.values()}
    if len(sizes) > 1:
        raise UserError(
            f"images of folder {root} differ in size ({sorted(sizes)[:3]} ...): resize them"
        )
    splits = {}
    for name, paths in files.items():
        array = np.stack([np.asarray(images[path].convert(mode), np.uint8) for path in paths])
        labels = [classes.index(str(path.parent.relative_to(parts[name]))) for path in paths]
        splits[name] = Split.of(array, np.asarray(labels))
    return infer_info("folder", splits), splits


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, classes and counts, read from the files."""
    return _read(arg)[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The folder's splits."""
    return _read(arg)
