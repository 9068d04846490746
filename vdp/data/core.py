"""What a data set is: images as integer levels, with facts that need no file to be known."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from vdp.errors import UserError


class Absent(UserError):
    """The files of a data set are not where they are looked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """Facts of a data set: image shape (H, W, C), number of grey levels, classes, counts.

    `class_names` are those of the classes 0, 1, ... in their order, empty where the data has none;
    facts that runs older than 0.2 have stored lack them, and compare equal all the same.
    """

    name: str
    shape: tuple[int, int, int]
    levels: int = 256
    num_classes: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] = dataclasses.field(default=(), compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Where to look for files, what is allowed, and how images are wanted; from `config.data`.

    `levels` (0: as stored), `size` (H, W) and `background` are what a source needs that reads
    images of any depth, size or transparency; the others need not look at them.
    """

    dir: pathlib.Path | None
    download: bool = False
    verify: bool = True
    split_seed: int = 0
    levels: int = 0
    size: tuple[int, int] | None = None
    background: str = "white"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """Images uint8 [N, H, W, C] and labels int32 [N], -1 where there is none."""

    images: UInt8[np.ndarray, "n h w c"]
    labels: Int32[np.ndarray, "n"]

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray | None = None) -> "Split":
        """Adds the channel axis and missing labels."""
        if images.ndim == 3:
            images = images[..., None]
        if labels is None:
            labels = np.full(len(images), -1)
        return cls(images=np.ascontiguousarray(images), labels=np.asarray(labels, np.int32))

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: slice | Shaped[np.ndarray, "m"]) -> "Split":
        """The examples at `index`."""
        return Split(images=self.images[index], labels=self.labels[index])


Splits = dict[str, Split]

SPLIT_NAMES = {  # what people call a split, in lower case: our name of it
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def infer_info(
    name: str, splits: Splits, *, levels: int = 256, class_names: tuple[str, ...] = ()
) -> Info:
    """The facts of splits that were read from files of unknown kind."""
    return Info(
        name=name,
        shape=splits["train"].images.shape[1:],
        levels=levels,
        num_classes=int(max(split.labels.max() for split in splits.values())) + 1,
        counts={name: len(split) for name, split in splits.items()},
        class_names=class_names,
    )


def spread(num: int, most: int) -> Int32[np.ndarray, "m"]:
    """Which of `num` examples are looked at where `most` are enough: evenly far apart.

    The first ones would be of a few classes, because many files hold images class by class.
    """
    few = min(num, most)
    return (np.arange(few) * num // max(few, 1)).astype(np.int32)


def hold_out(split: Split, num: int, seed: int) -> tuple[Split, Split]:
    """Splits into (rest, held out): `num` examples chosen by a recorded seed, order kept."""
    if not 0 <= num < len(split):
        raise UserError(f"{num} examples cannot be held out of {len(split)}: lower num_validation")
    order = np.random.default_rng(seed).permutation(len(split))
    return split.take(np.sort(order[num:])), split.take(np.sort(order[:num]))
