"""A source that gives something else than splits of levels is refused before anything is built."""

import numpy as np
import pytest

from vdp.data import datasets
from vdp.data.core import Info, Split
from vdp.data.sources import synthetic
from vdp.errors import UserError
from vdp.settings import Data

INFO = Info(name="waves", shape=(4, 4, 1), levels=8)
LEVELS = np.random.default_rng(0).integers(0, 8, (40, 4, 4, 1)).astype(np.uint8)


def a_split(**fields):
    """A split whose fields nothing has looked at."""
    split = Split.of(LEVELS)
    for name, value in fields.items():
        object.__setattr__(split, name, value)
    return split


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (
            {"train": a_split(images=LEVELS / np.float32(7))},
            "float32 [40, 4, 4, 1] for train",
        ),
        ({"train": a_split(images=LEVELS[..., 0])}, "uint8 [N, H, W, 1]"),
        ({"train": a_split(images=LEVELS.repeat(3, -1))}, "uint8 [40, 4, 4, 3]"),
        ({"train": a_split(images=LEVELS * np.uint8(30))}, "and its info has levels=8"),
        ({"train": a_split(labels=np.zeros(9, np.int32))}, "40 images and 9 labels"),
        ({"train": LEVELS}, "ndarray for train: return vdp.data.core.Split.of(images)"),
        ({"train": a_split(), "val": a_split()}, "gives train, val where splits train, validation"),
        ({"test": a_split()}, "gives test where"),
        ([a_split()], "gives list where"),
    ],
)
def test_what_is_no_splits_of_levels_is_named(monkeypatch, splits, says):
    monkeypatch.setattr(synthetic, "load", lambda arg, request: (INFO, splits))
    with pytest.raises(UserError, match=r"^the data source synthetic gives") as refused:
        datasets.load(Data(name="synthetic:4x4x1x8", num_validation=5))
    assert says in str(refused.value)


def test_splits_of_levels_are_taken(monkeypatch):
    splits = {name: a_split() for name in ("train", "validation", "test")}
    monkeypatch.setattr(synthetic, "load", lambda arg, request: (INFO, splits))
    loaded = datasets.load(Data(name="synthetic:4x4x1x8"))
    assert all(np.array_equal(split.images, LEVELS) for split in loaded.splits.values())
