"""Caltech 101 silhouettes of 28x28 pixels (Marlin et al. 2010): outlines of objects, filled in.

`caltech101_silhouettes_28_split1.mat` holds the split that results are published for;
`caltech101_silhouettes_28.mat` all images without one, of which a tenth is then held out. The
files store 0 for the object; here it is 1, as in pictures of other data sets.
"""

from collections.abc import Mapping
from typing import Any

from vdp.data.core import Info, Request, Split, Splits
from vdp.data.sources import _files

NAME = "silhouettes"
DIVIDED, WHOLE = "caltech101_silhouettes_28_split1.mat", "caltech101_silhouettes_28.mat"
VARIABLES = {  # of each file: {split: (images, labels)}
    DIVIDED: {
        "train": ("train_data", "train_labels"),
        "validation": ("val_data", "val_labels"),
        "test": ("test_data", "test_labels"),
    },
    WHOLE: {"train": ("X", "Y")},
}
COUNTS = {DIVIDED: {"train": 4100, "validation": 2264, "test": 2307}, WHOLE: {"train": 8671}}


def info(arg: str, request: Request | None = None) -> Info:
    """28x28, two levels, 101 classes; the counts are those of the file that is there."""
    path = _files.find(request, DIVIDED, WHOLE) if request else None
    counts = COUNTS[path.name if path else DIVIDED]
    return Info(name=NAME, shape=(28, 28, 1), levels=2, num_classes=101, counts=counts)


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Reads whichever file the folder holds, that with the split first."""
    path = _files.find(request, DIVIDED, WHOLE)
    if path is None:
        raise _files.missing(NAME, f"{DIVIDED} or {WHOLE}", request, tfds=False)
    parts = VARIABLES[path.name].items()
    splits = _files.of_mat(
        path, lambda arrays: {name: _split(arrays, *part) for name, part in parts}
    )
    counts = {name: len(split) for name, split in splits.items()}
    if request.verify and counts != COUNTS[path.name]:
        raise _files.unpublished(path, f"it holds {counts} images instead of {COUNTS[path.name]}")
    return info(arg, request), splits


def _split(arrays: Mapping[str, Any], images: str, labels: str) -> Split:
    """Each row is an image, stored column by column; classes are counted from 1."""
    upright = arrays[images].reshape(-1, 28, 28).transpose(0, 2, 1)
    return Split.of((upright == 0).astype("uint8"), arrays[labels].ravel().astype(int) - 1)
