"""OMNIGLOT in the 28x28 grey split of Burda et al. (2015), `chardata.mat`."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vdp.data import depth
from vdp.data.core import Info, Request, Split, Splits
from vdp.data.sources import _files

COUNTS = {"train": 24_345, "test": 8_070}
KEYS = {"train": ("data", "target"), "test": ("testdata", "testtarget")}
GIT_BLOB = "016a3536ffe5e1d38e42563a18d7a78bfaf643ec"  # of the file in its public repository


def info(arg: str, request: Request | None = None) -> Info:
    """28x28 grey, 50 alphabets."""
    return Info(name="omniglot", shape=(28, 28, 1), num_classes=50, counts=COUNTS)


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Reads chardata.mat: pixels in [0, 1], one image a column, each stored column by column."""
    path = _files.find(request, "chardata.mat")
    if path is None:
        raise _files.missing("omniglot", "chardata.mat", request, tfds=False)
    content = _files.read_bytes(path)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if request.verify and blob != GIT_BLOB:
        raise _files.unpublished(path, "it is not the published file (truncated or altered)")
    made = lambda arrays: _splits(arrays, str(path))
    splits = _files.of_mat(path, made)
    counts = {name: len(split) for name, split in splits.items()}
    if request.verify and counts != COUNTS:
        raise _files.unpublished(path, f"it holds {counts} images instead of {COUNTS}")
    return info(arg), splits


def _splits(arrays: Mapping[str, Any], where: str) -> Splits:
    upright = lambda pixels: pixels.T.reshape(-1, 28, 28).transpose(0, 2, 1)
    stored = {name: upright(arrays[pixels]) for name, (pixels, _) in KEYS.items()}
    images, _ = depth.settle(stored, where=where, wanted=depth.MOST)
    labels = {
        name: np.argmax(arrays[target], axis=0) if target in arrays else None
        for name, (_, target) in KEYS.items()
    }
    return {name: Split.of(images[name], labels[name]) for name in KEYS}
