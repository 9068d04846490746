"""The idx format of MNIST (LeCun): magic, big-endian sizes, bytes."""

import math
import pathlib
import struct

import numpy as np
from jaxtyping import UInt8

from vdp.data.core import Info, Request, Split, Splits
from vdp.data.sources import _files, tfds

PARTS = {"train": "train", "test": "t10k"}


def parse(content: bytes, path: pathlib.Path) -> UInt8[np.ndarray, "*s"]:
    """The uint8 array in an idx file's bytes; UserError where they are not one."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise _files.corrupt(path, "it is not an idx file of unsigned bytes")
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise _files.corrupt(path, "its header is cut short")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if len(content) - start != math.prod(shape):
        why = f"its header announces {math.prod(shape)} bytes and {len(content) - start} follow"
        raise _files.corrupt(path, why)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def load(info: Info, md5: dict[str, str], request: Request) -> tuple[Info, Splits]:
    """Reads the four idx or idx.gz files, else what tensorflow-datasets has prepared."""
    first = "train-images-idx3-ubyte"
    if _files.find(request, first, f"{first}.gz") is None:
        wanted = f"{first}[.gz] (and its three companions)"
        return info, tfds.load_prepared(info, request, wanted=wanted)
    return info, {split: _split(part, info, md5, request) for split, part in PARTS.items()}


def _split(part: str, info: Info, md5: dict[str, str], request: Request) -> Split:
    arrays = []
    for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
        path = _files.find(request, name, f"{name}.gz")
        if path is None:
            raise _files.missing(info.name, f"{name}[.gz]", request)
        content = _files.read_bytes(path)
        _files.check_md5(path, content, md5[name], request)
        arrays.append((parse(content, path), path))
    (images, _), (labels, last) = arrays
    if images.shape[1:] != info.shape[:2] or len(images) != len(labels):
        raise _files.corrupt(last, f"images {images.shape} and labels {labels.shape} do not fit")
    if labels.ndim != 1 or labels.max(initial=0) >= info.num_classes:
        raise _files.corrupt(last, f"its labels are not 0..{info.num_classes - 1}")
    return Split.of(images, labels)
