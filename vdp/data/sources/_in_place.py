"""Large images of an npz archive that stay in their file, and are read row by row: a memory map.

So data sets larger than the memory can be trained on. Nothing may be made of the images, which
would copy them: they are stored uncompressed, as `np.savez` does, as uint8 in C order, with splits
of their own for validation and test. Unlike arrays that are read they are not compared with the
archive's checksum.
"""

import dataclasses
import pathlib
import struct
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from vdp.data.core import SPLIT_NAMES

LEAST = 2**30  # bytes from which an array stays in its file
LOCAL_HEADER = 30  # bytes before a member's name, the last four are the lengths of what follows
READERS: Mapping[tuple[int, int], Callable] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """An array of an archive, by its headers.

    Attributes:
      info: of the archive.
      dtype: of its numbers.
      by_column: whether they lie in Fortran order.
      num_bytes: of all of them.
    """

    info: zipfile.ZipInfo
    dtype: np.dtype
    by_column: bool
    num_bytes: int


def staying(members: Mapping[str, Member]) -> set[str]:
    """The names of the arrays that stay in their file."""
    splits = {SPLIT_NAMES.get(name.removesuffix("_images")) for name in members}
    masked = {name for name in members if name.replace("images", "exact") in members}
    if not {"train", "validation", "test"} <= splits:
        return set()
    return {name for name in members.keys() - masked if _can_stay(name, members[name])}


def _can_stay(name: str, member: Member) -> bool:
    stored = member.info.compress_type == zipfile.ZIP_STORED
    encrypted = member.info.flag_bits & 1
    as_used = member.dtype == np.uint8 and not member.by_column and name.endswith("images")
    return as_used and stored and not encrypted and member.num_bytes >= LEAST


def array(path: pathlib.Path, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member that stays, without its bytes."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<2H", file.read(LOCAL_HEADER)[-4:])
        file.seek(sum(lengths), 1)
        shape, _, dtype = READERS[np.lib.format.read_magic(file)](file)
        return np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
