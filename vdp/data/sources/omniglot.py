"""OMNIGLOT in the 28x28 grey split of Burda et al. (2015), `chardata.mat`."""

import hashlib

import numpy as np

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
    made = lambda arrays: {name: _split(arrays, *keys) for name, keys in KEYS.items()}
    splits = _files.of_mat(path, made)
    counts = {name: len(split) for name, split in splits.items()}
    if request.verify and counts != COUNTS:
        raise _files.unpublished(path, f"it holds {counts} images instead of {COUNTS}")
    return info(arg), splits


def _split(arrays, pixels: str, target: str) -> Split:
    images = np.rint(arrays[pixels].T.reshape(-1, 28, 28).transpose(0, 2, 1) * 255)
    labels = np.argmax(arrays[target], axis=0) if target in arrays else None
    return Split.of(images.astype(np.uint8), labels)
