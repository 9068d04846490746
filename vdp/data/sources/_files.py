"""Finding, reading and checking files, with errors that say what was looked for and where."""

import gzip
import hashlib
import os
import pathlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vdp.data.core import Absent, Request
from vdp.errors import UserError


def missing(name: str, wanted: str, request: Request, *, tfds: bool = True) -> Absent:
    """The error for absent data: what was looked for, where, and the ways to provide it.

    Args:
      name: of the data set.
      wanted: the files that were looked for, in words.
      request: where they were looked for.
      tfds: whether a copy prepared by tensorflow-datasets would do.
    """
    place = f"in {request.dir}" if request.dir else "in no folder: data.dir and $VDP_DATA are unset"
    if request.dir and not pathlib.Path(request.dir).is_dir():
        place += ", which is no folder"
    ways = f"put the files into a folder and name it by config.data.dir=DIR (or $VDP_DATA/{name})"
    if tfds:
        ways += ", or set config.data.download=True to let tensorflow-datasets fetch them"
        wanted += " (or a copy prepared by tensorflow-datasets)"
    return Absent(f"data set {name!r} is missing: looked for {wanted} {place}; {ways}")


def find(request: Request, *names: str) -> pathlib.Path | None:
    """The first of `names` that exists in the request's folder."""
    if request.dir is None:
        return None
    return next((request.dir / name for name in names if (request.dir / name).exists()), None)


def read_bytes(path: pathlib.Path) -> bytes:
    """A file's bytes, decompressed where the name ends in .gz."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise corrupt(path, said(error)) from error


T = TypeVar("T")


def of_mat(path: pathlib.Path, make: Callable[[Mapping[str, Any]], T]) -> T:
    """What `make` makes of the variables of a MATLAB file.

    Raises:
      UserError: it cannot be read, or `make` fails: then it holds other variables or shapes.
    """
    import scipy.io

    try:
        return make(scipy.io.loadmat(path))
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise corrupt(path, said(error)) from error


def corrupt(path: pathlib.Path, why: str, mend: str = "replace it") -> UserError:
    """The error for a file that is there but cannot be used; its name in `why` is left out."""
    why = re.sub(rf":? {re.escape(repr(str(path)))}", "", why)
    return UserError(f"data file {path} cannot be used: {why}; {mend}")


def unpublished(path: pathlib.Path, why: str) -> UserError:
    """The error for a file that is not the published one, while `data.verify` is on."""
    mend = "replace it, or set config.data.verify=False if it is a file of your own"
    return corrupt(path, why, mend)


def said(error: Exception) -> str:
    """The first line of what an exception says, else its name."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def check_memory(
    path: pathlib.Path, num_bytes: int, mend: str = "store fewer or smaller ones"
) -> None:
    """Refuses arrays that are larger than this machine's memory, before they are allocated.

    Args:
      path: where they are stored.
      num_bytes: that they take.
      mend: what to do about it.
    """
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > memory:
        why = f"its images take {num_bytes / 2**30:,.0f} GiB of the {memory / 2**30:,.0f} there are"
        raise corrupt(path, why, mend)


def check_md5(path: pathlib.Path, content: bytes, expected: str, request: Request) -> None:
    """Compares a file with its published checksum unless `data.verify` is off.

    Args:
      path: for the message.
      content: the decompressed bytes.
      expected: the md5 of these bytes, as published.
      request: says whether files are verified.

    Raises:
      UserError: they differ.
    """
    if request.verify and hashlib.md5(content).hexdigest() != expected:
        raise unpublished(path, "its md5 is not the published one (truncated or altered)")
