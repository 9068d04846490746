"""`npz:PATH`: any images in one archive.

Keys: `images` (and `labels`, `exact`), or `train_images` and, where there are any, `val_images`
and `test_images` with the same companions. Levels are whole numbers of any type, or fractions in
[0, 1] with `data.levels`; `levels` is how many there are where the pixels do not show it.
"""

import pathlib

import numpy as np

from vdp.data import depth, resizing
from vdp.data.core import Absent, Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files, _npz
from vdp.runtime import files


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, levels and counts, read from the archive."""
    return load(arg, request or Request(dir=None))[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The archive's splits, at the levels that are stored or asked for."""
    path = files.located(arg)
    if not arg or not path.is_file():
        raise Absent(f"npz:PATH needs an existing npz file, and {arg!r} is none")
    arrays = _npz.read(path, in_place=not (request.levels or request.size))
    parts = _parts(path, arrays)
    images, levels = depth.settle(
        {name: resizing.every(images, request.size) for name, (images, _) in parts.items()},
        where=str(path),
        wanted=request.levels,
        declared=_declared(path, arrays),
    )
    splits = {name: Split.of(images[name], labels) for name, (_, labels) in parts.items()}
    return infer_info("npz", splits, levels=levels), splits


def plain_numbers(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """The images [N, H, W, C] of each split as they are stored.

    None where they are no whole numbers, or the archive says how many levels they have.
    """
    arrays = _npz.read(path)
    kinds = {array.dtype.kind for name, array in arrays.items() if name.endswith("images")}
    if "levels" in arrays or not kinds <= set("iu"):
        return None
    return {name: Split.of(images).images for name, (images, _) in _parts(path, arrays).items()}


def _parts(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> dict[str, tuple]:
    """(images, labels) of each split."""
    there = [prefix for prefix in _npz.PREFIXES if f"{prefix}images" in arrays]
    prefixes = {_npz.PREFIXES[prefix]: prefix for prefix in there}
    if len(prefixes) < len(there):
        twice = " and ".join(f"`{p}images`" for p in there if p not in prefixes.values())
        raise _files.corrupt(path, f"it has one split by two names, {twice}", "leave one out")
    if prefixes and "train" not in prefixes:
        raise _files.corrupt(path, "it has no `train_images`", "add them")
    return {
        name: _npz.split(path, arrays, prefix)
        for name, prefix in (prefixes or {"train": ""}).items()
    }


def _declared(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> int:
    if "levels" not in arrays:
        return 0
    levels = arrays["levels"]
    if levels.size != 1 or levels.dtype.kind not in "iu" or levels.item() < 2:
        why, mend = "`levels` is not one whole number of at least 2", "correct it or leave it out"
        raise _files.corrupt(path, why, mend)
    return levels.item()
