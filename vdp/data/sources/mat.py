"""`mat:PATH`, `mat:PATH#NAME` or `mat:PATH#NAME,rows`: images in a file of MATLAB (7 and older).

Without a name, the variables that are called like images (`images`, `data`, `X`, `train_data`,
`testdata`, ...) are, else the largest array of numbers. Its shape is [N, H, W], [H, W, N],
[N, H, W, C], [H, W, C, N], or one square grey or RGB image flattened in each row or column: as
MATLAB flattens, column by column and one colour after the other, or with `,rows` as numpy does, row
by row and pixel by pixel. Labels are `labels`, `Y`, `target`, ...; those that start at 1, as MATLAB
counts, are moved to 0.
"""

import math
import pathlib
from typing import Any

import numpy as np

from vdp.data import depth, labels, resizing
from vdp.data.core import SPLIT_NAMES, Absent, Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files
from vdp.errors import UserError, choose_from
from vdp.runtime import files

IMAGES = {"images", "image", "imgs", "data", "x"}
LABELS = {"labels", "label", "targets", "target", "y", "gnd", "classes"}
NUMBERS = {
    "double",
    "single",
    "logical",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
}
MANY = 10  # times as many images as they have rows, or columns: then it is told which they are
LONGEST = 8  # times the shorter side: more, and what was taken for a side may be the images
FEWEST = 4  # pixels of a side; fewer are a layout read the wrong way round
HDF5 = b"\x89HDF"


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, levels, classes and counts, read from the file."""
    return load(arg, request or Request(dir=None))[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The splits of the file, at the levels that are stored or asked for."""
    text, _, name = (arg, "", "") if arg and files.located(arg).is_file() else arg.partition("#")
    name, _, order = name.partition(",")
    if order not in ("", "rows"):
        raise choose_from("order of flat images (mat:PATH#NAME,rows)", order, ["rows"])
    path = files.located(text)
    if not text or not path.is_file():
        raise Absent(f"mat:PATH[#NAME] needs an existing file of MATLAB, and {text!r} is none")
    shapes = _shapes(path)
    chosen = _chosen(path, shapes, name)
    arrays = _read(path, [variable for parts in chosen.values() for variable in parts.values()])
    images, classes, one_hot = {}, {}, False
    for split, parts in chosen.items():
        stored = arrays[parts["labels"]] if "labels" in parts else None
        where = f"`{parts['images']}` of {path}"
        images[split] = _upright(arrays[parts["images"]], stored, where, by_row=bool(order))
        if stored is not None:
            where = f"`{parts['labels']}` of {path}"
            classes[split] = _classes(stored, len(images[split]), where)
            one_hot = one_hot or min(stored.shape) > 1
    if classes and not one_hot and min(part.min() for part in classes.values()) == 1:
        classes = {split: part - 1 for split, part in classes.items()}
    images = {split: resizing.every(part, request.size) for split, part in images.items()}
    levelled, levels = depth.settle(images, where=str(path), wanted=request.levels)
    splits = {split: Split.of(part, classes.get(split)) for split, part in levelled.items()}
    return infer_info("mat", splits, levels=levels), splits


def _shapes(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """{variable: shape} of the arrays of numbers, without reading them."""
    import scipy.io

    with path.open("rb") as file:
        start = file.read(516)
    if HDF5 in (start[:4], start[512:]) or start.startswith(b"MATLAB 7.3"):
        mend = "save it in MATLAB by save(FILE, '-v7'), or store its arrays as npz:PATH"
        raise _files.corrupt(path, "it is of MATLAB 7.3, which is HDF5", mend)
    try:
        variables = scipy.io.whosmat(path)
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise _files.corrupt(path, f"it is no file of MATLAB ({_files.said(error)})") from error
    return {name: shape for name, shape, kind in variables if kind in NUMBERS and len(shape) > 1}


def _read(path: pathlib.Path, names: list[str]) -> dict[str, Any]:
    import scipy.io

    try:
        return scipy.io.loadmat(path, variable_names=names)
    except Exception as error:  # as above
        raise _files.corrupt(path, _files.said(error)) from error


def _chosen(
    path: pathlib.Path, shapes: dict[str, tuple[int, ...]], name: str
) -> dict[str, dict[str, str]]:
    """{split: {"images": variable, "labels": variable}}, the labels where there are any."""
    chosen: dict[str, dict[str, str]] = {}
    for variable in sorted(shapes, key=lambda v: math.prod(shapes[v])):  # the largest of two wins
        split, role = _role(variable)
        if role:
            chosen.setdefault(split, {})[role] = variable
    if name:
        if name not in shapes:
            raise choose_from(f"array of numbers in {path}", name, shapes)
        parts = chosen.get(_role(name)[0], {}) | {"images": name}  # with the labels of its split
        if parts.get("labels") == name:
            del parts["labels"]
        chosen = {"train": parts}
    elif "images" not in chosen.get("train", {}):
        sizes = sorted(((math.prod(shape), v) for v, shape in shapes.items()), reverse=True)
        if not sizes or (len(sizes) > 1 and sizes[0][0] == sizes[1][0]):
            listed = ", ".join(f"{v} {list(shape)}" for v, shape in shapes.items()) or "no numbers"
            mend = "name the variable that holds the images: mat:PATH#NAME"
            raise _files.corrupt(path, f"it holds {listed}", mend)
        chosen["train"] = chosen.get("train", {}) | {"images": sizes[0][1]}
    chosen = {split: parts for split, parts in chosen.items() if "images" in parts}
    used = {variable for parts in chosen.values() for variable in parts.values()}
    num_bytes = sum(math.prod(shapes[v]) for v in used)  # one byte a number at least
    _files.check_memory(path, num_bytes)
    return chosen


def _role(variable: str) -> tuple[str, str]:
    """(split, "images" | "labels" | "") that the name of a variable says."""
    text = variable.lower()
    for alias in sorted(SPLIT_NAMES, key=len, reverse=True):
        rest = text.removeprefix(alias) if text.startswith(alias) else text.removesuffix(alias)
        if rest != text:
            return SPLIT_NAMES[alias], _kind(rest.strip("_"))
    return "train", _kind(text)


def _kind(word: str) -> str:
    return "images" if word in IMAGES else "labels" if word in LABELS else ""


def _upright(
    array: np.ndarray, stored: np.ndarray | None, where: str, *, by_row: bool
) -> np.ndarray:
    """Images [N, H, W] or [N, H, W, C] of an array in any of the layouts of this file.

    Args:
      array: as it is stored.
      stored: its labels, by whose number images are counted.
      where: the array, as the subject of an error.
      by_row: whether flat images are stored row by row.
    """
    counts = set() if stored is None else {n for n in stored.shape if n > 1}
    if not array.size or array.ndim > 4:
        raise UserError(f"{where} has shape {list(array.shape)}: images are [N, H, W] or [H, W, N]")
    shown = "x".join(map(str, array.shape))
    if array.ndim == 4:
        if array.shape[3] in (1, 3):
            return array
        if array.shape[2] in (1, 3):
            return np.moveaxis(array, 3, 0)
        raise UserError(f"{where} has shape {shown}: images are [N, H, W, C] or [H, W, C, N]")
    if array.ndim == 3:
        before, middle, after = array.shape
        square = (middle == after) - (before == middle)  # 1: [N, S, S], -1: [S, S, N]
        told = (before in counts) - (after in counts) or square
        sides = (middle, after) if before > after else (before, middle)
        unlikely = max(sides) > LONGEST * min(sides)
        if not told and (unlikely or max(before, after) < MANY * min(before, after)):
            raise UserError(
                f"{where} has shape {shown}, which may be {before} images of {middle}x{after} or "
                f"{after} of {before}x{middle}: reshape it to [N, H, W, 1]"
            )
        return array if (told or before - after) > 0 else np.moveaxis(array, 2, 0)
    is_row, is_column = (n in counts for n in array.shape)  # where the labels say it
    by_rows = None if is_column and not is_row else _square(array.shape[1])
    by_columns = None if is_row and not is_column else _square(array.shape[0])
    if by_rows and by_columns and min(by_rows[1], by_columns[1]) < FEWEST:
        by_rows = by_rows if by_rows[1] >= by_columns[1] else None
    elif by_rows and by_columns:
        rows, columns = array.shape
        raise UserError(
            f"{where} has shape {rows}x{columns}, which may be {rows} images of {columns} numbers "
            f"or {columns} of {rows}: reshape it to [N, H, W]"
        )
    shape = by_rows or by_columns
    if shape is None:
        raise UserError(
            f"{where} has shape {list(array.shape)}, and neither number is that of the pixels of "
            "square grey or RGB images: reshape it to [N, H, W]"
        )
    flat = array if by_rows else array.T
    if by_row:
        channels, width, height = shape
        return flat.reshape(-1, height, width, channels)
    return flat.reshape(-1, *shape).transpose(0, 3, 2, 1)  # [N, C, W, H]: column by column


def _square(size: int) -> tuple[int, int, int] | None:
    """(C, W, H) of square images of `size` numbers, 2x2 at least; None where there are none."""
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side > 1 and channels * side * side == size:
            return channels, side, side
    return None


def _classes(stored: np.ndarray, count: int, where: str) -> np.ndarray:
    if stored.shape[0] != count and stored.shape[-1] == count:
        stored = stored.T
    return labels.whole(stored, count, where=where)
