"""CIFAR-10 (Krizhevsky 2009): official binary or python batches, or npz files.

Folder layouts: `data_batch_{1..5}.bin` and `test_batch.bin`; `data_batch_{1..5}` and `test_batch`;
`cifar10_{train,test}.npz` with `images`, `labels` and an optional mask `exact`: images where it
is False (stand-ins that keep the official order) are dropped.
"""

import io
import pathlib
import pickle

import numpy as np

from vdp.data.core import Info, Request, Split, Splits
from vdp.data.sources import _files, _npz, tfds

BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
MD5 = {  # of the python version's batches, as published with it
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
CLASSES = (  # as in its batches.meta
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
RECORD = 1 + 3 * 32 * 32
FOLDERS = ("", "cifar-10-batches-bin/", "cifar-10-batches-py/")


def info(arg: str, request: Request | None = None) -> Info:
    """32x32 RGB."""
    counts = {"train": 50_000, "test": 10_000}
    return Info(
        name="cifar10", shape=(32, 32, 3), num_classes=10, counts=counts, class_names=CLASSES
    )


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Reads whichever version the folder holds, else what tensorflow-datasets has prepared."""
    return info(arg), _load(request)


def _load(request: Request) -> Splits:
    if _files.find(request, "cifar10_train.npz"):
        return {split: _from_npz(f"cifar10_{split}.npz", request) for split in BATCHES}
    if _find(request, "data_batch_1.bin"):
        return {split: _join(names, ".bin", _from_bin, request) for split, names in BATCHES.items()}
    if _find(request, "data_batch_1"):
        return {split: _join(names, "", _from_pickle, request) for split, names in BATCHES.items()}
    wanted = "data_batch_1.bin, data_batch_1 or cifar10_train.npz (and their companions)"
    return tfds.load_prepared(info(""), request, wanted=wanted)


def _find(request: Request, name: str) -> pathlib.Path | None:
    return _files.find(request, *(folder + name for folder in FOLDERS))


def _from_npz(name: str, request: Request) -> Split:
    path = _files.find(request, name)
    if path is None:
        raise _files.missing("cifar10", name, request)
    images, labels = _npz.split(path, _npz.read(path))
    if images.dtype != np.uint8:
        raise _files.corrupt(path, f"its images are {images.dtype} instead of uint8")
    return _checked(path, Split.of(images, labels))


def _checked(path: pathlib.Path, split: Split) -> Split:
    if (
        split.images.shape[1:] != (32, 32, 3)
        or not 0 <= split.labels.min() <= split.labels.max() <= 9
    ):
        raise _files.corrupt(path, "it does not hold 32x32x3 images with labels 0..9")
    return split


def _join(names: list[str], suffix: str, read, request: Request) -> Split:
    splits = []
    for name in names:
        path = _find(request, name + suffix)
        if path is None:
            raise _files.missing("cifar10", name + suffix, request)
        splits.append(_checked(path, read(path, request)))
    return Split(
        images=np.concatenate([split.images for split in splits]),
        labels=np.concatenate([split.labels for split in splits]),
    )


def _planes_to_images(planes: np.ndarray) -> np.ndarray:
    return planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _from_bin(path: pathlib.Path, request: Request) -> Split:
    content = _files.read_bytes(path)
    if not content or len(content) % RECORD:
        raise _files.corrupt(path, f"{len(content)} bytes are no records of {RECORD}")
    if request.verify and len(content) != 10_000 * RECORD:
        raise _files.unpublished(path, f"{len(content)} bytes are not 10,000 records of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return Split.of(_planes_to_images(records[:, 1:]), records[:, 0])


PICKLED = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }
)


class _NumpyUnpickler(pickle.Unpickler):
    """Loads nothing but numpy arrays and plain containers: a pickle could run any code."""

    def find_class(self, module, name):
        if (module, name) not in PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return super().find_class(module, name)


def _from_pickle(path: pathlib.Path, request: Request) -> Split:
    content = _files.read_bytes(path)
    _files.check_md5(path, content, MD5[path.name], request)
    try:
        batch = _NumpyUnpickler(io.BytesIO(content), encoding="bytes").load()
        return Split.of(_planes_to_images(batch[b"data"]), np.asarray(batch[b"labels"]))
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _files.corrupt(path, _files.said(error)) from error
