"""`npz:PATH`: any images in one archive.

Keys: `images` (and `labels`, `exact`), or `train_images` and `test_images` with the
same companions. All uint8; `levels` where it is not 256.
"""

import pathlib

import numpy as np

from vdp.data.core import Info, Request, Splits, infer_info
from vdp.data.sources import _files, _npz
from vdp.errors import UserError


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, levels and counts, read from the archive."""
    return _read(arg)[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The archive's splits."""
    return _read(arg)


def _read(arg: str) -> tuple[Info, Splits]:
    path = pathlib.Path(arg).expanduser()
    if not arg or not path.is_file():
        raise UserError(f"npz:PATH needs an existing npz file, and {arg!r} is none")
    arrays = _npz.read(path)
    stored = arrays.get("levels", np.asarray(256))
    if stored.size != 1 or not np.issubdtype(stored.dtype, np.integer):
        raise _files.corrupt(path, "`levels` is not one whole number")
    levels = int(stored)
    prefixes = {"train": "train_", "test": "test_"} if "train_images" in arrays else {"train": ""}
    splits = {name: _npz.split(path, arrays, prefix) for name, prefix in prefixes.items()}
    highest = max(int(np.max(split.images)) for split in splits.values())
    if highest >= levels:
        raise _files.corrupt(path, f"it announces {levels} levels and has a pixel of {highest}")
    return infer_info("npz", splits, levels=levels), splits
