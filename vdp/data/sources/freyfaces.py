"""The Frey faces (Roweis & Saul 2000): 1,965 pictures of one face, 28x20, out of a film.

`frey_rawface.mat`, or the same images as `freyfaces.npz`. There is no published split: a tenth is
held out for the test by `data.split_seed`, and neighbours in the film lie on both sides.
"""

import numpy as np

from vdp.data import depth
from vdp.data.core import Info, Request, Split, Splits
from vdp.data.sources import _files, _npz

NAME = "freyfaces"
COUNT, SHAPE = 1965, (28, 20)
MAT, NPZ = "frey_rawface.mat", "freyfaces.npz"


def info(arg: str, request: Request | None = None) -> Info:
    """28x20 grey, no classes."""
    return Info(name=NAME, shape=(*SHAPE, 1), counts={"train": COUNT})


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Reads whichever file the folder holds."""
    path = _files.find(request, MAT, NPZ)
    if path is None:
        raise _files.missing(NAME, f"{MAT} or {NPZ}", request, tfds=False)
    if path.name == NPZ:
        arrays = _npz.read(path)
        if "images" not in arrays:
            why = f"it has no array `images`, but {', '.join(sorted(arrays))}"
            raise _files.corrupt(path, why, "rename the one that holds the faces")
        images = arrays["images"]
    else:
        # one image a column, stored row by row
        images = _files.of_mat(path, lambda arrays: arrays["ff"].T)
    whole = images.reshape(len(images), -1)
    if whole.shape[1] != np.prod(SHAPE) or (request.verify and len(whole) != COUNT):
        expected = (COUNT, *SHAPE)
        raise _files.unpublished(path, f"its images are {images.shape} and not {expected}")
    levels, _ = depth.settle({"train": whole.reshape(-1, *SHAPE)}, where=str(path), wanted=256)
    return info(arg), {"train": Split.of(levels["train"])}
