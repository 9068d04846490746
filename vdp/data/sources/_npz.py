"""Reading npz archives of images, without pickles, and no more than is asked for."""

import math
import pathlib
import zipfile
import zlib

import numpy as np

from vdp.data import labels
from vdp.data.core import SPLIT_NAMES
from vdp.data.sources import _files, _in_place
from vdp.errors import UserError

PREFIXES = {f"{name}_": split for name, split in SPLIT_NAMES.items()}
KEYS = ("images", "labels", "exact")
USED = {"levels", *(prefix + key for prefix in ("", *PREFIXES) for key in KEYS)}
EXPANSION = 1032  # the most that deflate can make of a byte
UNREADABLE = (  # what zipfile and numpy raise for damaged, encrypted or foreign archives
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def read(path: pathlib.Path, *, in_place: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an archive that say something here: images, labels, exact, levels.

    Whatever else is in it is left alone. What a member announces is compared with the size of the
    file before it is read.

    Args:
      path: of the archive.
      in_place: whether large images may stay in it.

    Raises:
      UserError: it is no archive, or one of these members is no array, or larger than its file.
    """
    try:
        with path.open("rb") as file:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                mend = "put it into an archive by np.savez(PATH, images=array)"
                raise _files.corrupt(path, "it is a single npy array", mend)
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            used = {name: info for name, info in members.items() if name in USED}
            if not any(name.endswith("images") for name in used):
                why = f"it has no `images` or `train_images`, but {', '.join(members) or 'nothing'}"
                raise _files.corrupt(path, why, "rename the array that holds the images")
            known = {name: _announced(path, archive, name, info) for name, info in used.items()}
            stay = _in_place.staying(known) if in_place else set()
            _files.check_memory(path, sum(known[name].num_bytes for name in used.keys() - stay))
            return {
                name: _in_place.array(path, info) if name in stay else _array(archive, info)
                for name, info in used.items()
            }
    except UserError:
        raise
    except UNREADABLE as error:
        why = f"it is not a readable npz archive ({_files.said(error)})"
        raise _files.corrupt(path, why) from error


def _announced(
    path: pathlib.Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo
) -> _in_place.Member:
    """One array by its header; UserError where its file cannot hold it."""
    with archive.open(info) as member:
        if member.read(6) != np.lib.format.MAGIC_PREFIX:
            raise _files.corrupt(path, f"`{name}` is no array", "store it by np.savez")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in _in_place.READERS:
            raise _files.corrupt(path, f"`{name}` has fields by name", "store plain numbers")
        shape, by_column, dtype = _in_place.READERS[version](member)
        header = member.tell()
    if dtype.hasobject:
        mend = "store it as an array of numbers"
        raise _files.corrupt(path, f"`{name}` holds pickled Python objects", mend)
    num_bytes = math.prod(shape) * dtype.itemsize
    stored = zipfile.ZIP_STORED
    expansion = {stored: 1, zipfile.ZIP_DEFLATED: EXPANSION}.get(info.compress_type, math.inf)
    available = expansion * min(info.compress_size, path.stat().st_size) + header
    if num_bytes != info.file_size - header or num_bytes > available:
        raise _files.corrupt(path, f"`{name}` announces {num_bytes} bytes that are not in the file")
    return _in_place.Member(info=info, dtype=dtype, by_column=by_column, num_bytes=num_bytes)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def split(
    path: pathlib.Path, arrays: dict[str, np.ndarray], prefix: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images [N, H, W, C] as stored and labels int32 [N] of one split, without what is not exact.

    Args:
      path: of the archive, for errors.
      arrays: its members.
      prefix: of the names of the split's members, `{prefix}images`, `{prefix}labels` and
        `{prefix}exact`, a mask of the images to keep.

    Raises:
      UserError: shapes that do not fit each other, or labels that are none.
    """
    images = arrays.get(f"{prefix}images")
    if images is None or images.ndim not in (3, 4):
        shape = "missing" if images is None else list(images.shape)
        mend = "store [N, H, W] or [N, H, W, C]"
        raise _files.corrupt(path, f"`{prefix}images` is {shape}", mend)
    if not images.size:
        raise _files.corrupt(path, f"`{prefix}images` is empty")
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[1] in (1, 3, 4) and images.shape[3] > 4:
        why = f"`{prefix}images` has shape {list(images.shape)}, channels first"
        raise _files.corrupt(path, why, "store [N, H, W, C]: np.moveaxis(images, 1, -1)")
    classes = arrays.get(f"{prefix}labels")
    if classes is not None:
        where = f"`{prefix}labels` of {path}"
        classes = labels.whole(classes, len(images), where=where)
    if f"{prefix}exact" not in arrays:
        return images, classes
    index = _kept(path, f"{prefix}exact", arrays[f"{prefix}exact"], len(images))
    return images[index], None if classes is None else classes[index]


def _kept(path: pathlib.Path, name: str, mask: np.ndarray, count: int) -> np.ndarray:
    if mask.shape != (count,) or not np.isin(mask, (0, 1)).all():
        why = f"`{name}` is no mask of the {count} images"
        raise _files.corrupt(path, why, "store True or False for each of them")
    if not mask.any():
        raise _files.corrupt(path, f"`{name}` keeps no image", "leave it out to keep them all")
    return np.flatnonzero(mask)
