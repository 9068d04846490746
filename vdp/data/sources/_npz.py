"""Reading npz archives of images, without pickles, and no more than is asked for.

Large arrays that were stored uncompressed, as `np.savez` does, stay in their file and are read row
by row (a memory map): data sets larger than the memory can be trained on.
"""

import math
import pathlib
import struct
import zipfile
import zlib

import numpy as np

from vdp.data import labels
from vdp.data.core import SPLIT_NAMES
from vdp.data.sources import _files
from vdp.errors import UserError

PREFIXES = {f"{name}_": split for name, split in SPLIT_NAMES.items()}
KEYS = ("images", "labels", "exact")
USED = {"levels", *(prefix + key for prefix in ("", *PREFIXES) for key in KEYS)}
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
MAPPED = 2**30  # bytes from which an array stays in its file
LOCAL_HEADER = 30  # bytes before a member's name, the last four are the lengths of what follows
EXPANSION = 1032  # the most that deflate can make of a byte
UNREADABLE = (  # what zipfile and numpy raise for damaged, encrypted or foreign archives
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an archive that say something here: images, labels, exact, levels.

    Whatever else is in it is left alone. What a member announces is compared with the size of the
    file before it is read.

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
            sizes = {name: _announced(path, archive, name, info) for name, info in used.items()}
            stay = {name for name, info in used.items() if _can_stay(info, *sizes[name])}
            _files.check_memory(path, sum(sizes[name][0] for name in used.keys() - stay))
            return {
                name: _map(path, info) if name in stay else _array(archive, info)
                for name, info in used.items()
            }
    except UserError:
        raise
    except UNREADABLE as error:
        why = f"it is not a readable npz archive ({_files.said(error)})"
        raise _files.corrupt(path, why) from error


def _announced(
    path: pathlib.Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo
) -> tuple[int, bool]:
    """(bytes, whether rows lie apart) by one array's header; UserError for more than its file."""
    with archive.open(info) as member:
        if member.read(6) != np.lib.format.MAGIC_PREFIX:
            raise _files.corrupt(path, f"`{name}` is no array", "store it by np.savez")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in READERS:
            raise _files.corrupt(path, f"`{name}` has fields by name", "store plain numbers")
        shape, by_column, dtype = READERS[version](member)
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
    return num_bytes, by_column


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _can_stay(info: zipfile.ZipInfo, num_bytes: int, by_column: bool) -> bool:
    as_it_is = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1  # not encrypted
    return as_it_is and num_bytes >= MAPPED and not by_column


def _map(path: pathlib.Path, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of an uncompressed member, whose header was read before, without its bytes."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<2H", file.read(LOCAL_HEADER)[-4:])
        file.seek(sum(lengths), 1)
        shape, _, dtype = READERS[np.lib.format.read_magic(file)](file)
        return np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)


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
