"""Reading npz archives of images, without pickles."""

import pathlib
import zipfile
import zlib

import numpy as np

from vdp.data.core import Split
from vdp.data.sources import _files


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of an archive; UserError where it is not one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _files.corrupt(path, f"it is not a readable npz archive ({error})") from error


def split(path: pathlib.Path, arrays: dict[str, np.ndarray], prefix: str = "") -> Split:
    """The split under `{prefix}images`, `{prefix}labels`, `{prefix}exact` (a mask to keep)."""
    images = arrays.get(f"{prefix}images")
    if images is None or images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise _files.corrupt(path, f"it needs `{prefix}images`, uint8 [N, H, W] or [N, H, W, C]")
    if not images.size:
        raise _files.corrupt(path, f"`{prefix}images` is empty")
    try:
        result = Split.of(images, arrays.get(f"{prefix}labels"))
    except (TypeError, ValueError) as error:
        raise _files.corrupt(path, f"`{prefix}labels` are not whole numbers") from error
    if len(result.labels) != len(images):
        raise _files.corrupt(path, f"{len(result.labels)} labels for {len(images)} images")
    keep = arrays.get(f"{prefix}exact")
    return result if keep is None else result.take(np.flatnonzero(keep))
