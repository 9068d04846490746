"""`folder:PATH`: a folder of PNG, JPEG, BMP, WebP, TIFF or GIF images.

Sub-folders train, val and test are the splits; the folders below that are the classes, which are
numbered from 0 in the order of their names (sorted by code point: capitals first). Grey where
every file is, else RGB; at the depth of the files, which `data.levels` scales; of one size, to
which `data.resize` brings them. Transparent parts show `data.background`.
"""

import pathlib
from collections import Counter

import numpy as np

from vdp.data import depth, resizing
from vdp.data.core import Absent, Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files, _pictures, _tree
from vdp.errors import UserError
from vdp.runtime import files


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, classes and counts, read from the files."""
    return load(arg, request or Request(dir=None))[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The folder's splits."""
    root = files.located(arg)
    if not arg or not root.is_dir():
        raise Absent(f"folder:PATH needs an existing folder of images, and {arg!r} is none")
    found = _tree.splits(root)
    where = f"folder {root}"
    pictures = _read(root, found, request)
    arrays, declared = _stacked(pictures, request.levels, where)
    images, levels = depth.settle(arrays, where=where, wanted=request.levels, declared=declared)
    names = sorted({name for entries in found.values() for _, name in entries if name})
    classes = {"": -1} | {name: number for number, name in enumerate(names)}
    splits = {
        split: Split.of(images[split], np.asarray([classes[name] for _, name in entries]))
        for split, entries in found.items()
    }
    return infer_info("folder", splits, levels=levels, class_names=tuple(names)), splits


def _read(
    root: pathlib.Path, found: dict[str, list[tuple[pathlib.Path, str]]], request: Request
) -> dict[str, list[_pictures.Picture]]:
    """The pictures of every split; UserError as soon as they are more than the memory holds.

    While all are of one size the first tells of all; of several sizes those that were read count.
    """
    pictures: dict[str, list[_pictures.Picture]] = {}
    count, total = sum(map(len, found.values())), 0
    sizes: set[tuple[int, ...]] = set()
    for split, entries in found.items():
        pictures[split] = []
        for path, _ in entries:
            picture = _pictures.read(path, request)
            size = picture.pixels.nbytes
            total, sizes = total + size, sizes | {picture.pixels.shape}
            needed = count * size if len(sizes) == 1 else total
            _files.check_memory(root, needed, "set data.resize=HxW, or keep fewer of them")
            pictures[split].append(picture)
    return pictures


def _stacked(
    pictures: dict[str, list[_pictures.Picture]], wanted: int, where: str
) -> tuple[dict[str, np.ndarray], int]:
    """Every split as [N, H, W] or [N, H, W, 3] at one depth, and its levels, 0 if open."""
    every = [picture for split in pictures.values() for picture in split]
    sizes = Counter(picture.pixels.shape[:2] for picture in every)
    if len(sizes) > 1:
        raise resizing.mixed(where, sizes)
    depths = {picture.levels for picture in every}
    common = _common_depth(depths, wanted, where)
    in_colour = any(picture.pixels.ndim == 3 for picture in every)

    def pixels(picture: _pictures.Picture) -> np.ndarray:
        array = picture.pixels
        if picture.levels != common:
            array = depth.scaled(array, picture.levels, common)
        return np.repeat(array[..., None], 3, axis=2) if in_colour and array.ndim == 2 else array

    stacked = {split: np.stack(list(map(pixels, part))) for split, part in pictures.items()}
    return stacked, common if common < depth.MOST else 0


def _common_depth(depths: set[int], wanted: int, where: str) -> int:
    """The levels that all pictures are brought to before they are looked at together."""
    if len(depths) == 1:
        return next(iter(depths))
    if max(depths) <= depth.MOST and 0 not in depths:
        return depth.MOST  # 1, 2 and 4 bits are shares of 255
    if wanted and 0 not in depths:
        return wanted
    listed = ", ".join(f"{levels:,}" if levels else "unknown" for levels in sorted(depths))
    raise UserError(
        f"{where} mixes images of {listed} levels: save them at one depth, or scale those of 8 and "
        f"16 bits by config.data.levels={depth.MOST}"
    )
