"""From `settings.data` to the splits of a run; the test split is never touched by training."""

import dataclasses
import hashlib
import importlib
import importlib.resources
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vdp.data import contract, depth, resizing
from vdp.data.core import Info, Request, Split, hold_out
from vdp.errors import UserError, choose_from
from vdp.runtime import files
from vdp.settings import Data

AT_ONCE = 1000  # images whose pixels are widened to floats at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model has to know of its data: shape (H, W, C), target and encoder-input levels."""

    info: Info
    levels: int
    input_levels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.info.shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The three splits as they lie on disk (not binarised), and the facts."""

    facts: Facts
    splits: dict[str, Split]


def _source(data: Data):
    name, _, arg = str(data.name or "").partition(":")
    folder = importlib.resources.files("vdp.data.sources")
    names = {e.name.removesuffix(".py") for e in folder.iterdir() if e.name.endswith(".py")}
    known = {name for name in names if not name.startswith("_")}
    if name not in known:
        needs_arg = {"npz": "npz:PATH", "folder": "folder:PATH", "tfds": "tfds:NAME"}
        needs_arg["mat"] = "mat:PATH[#NAME]"
        needs_arg["synthetic"] = "synthetic:HxWxC[xLEVELS]"
        raise choose_from("data set", name, {needs_arg.get(n, n) for n in known})
    return importlib.import_module(f"vdp.data.sources.{name}"), name, arg


def _request(data: Data) -> Request:
    root = os.environ.get("VDP_DATA")
    default = files.located(root) / str(data.name).partition(":")[0] if root else None
    return Request(
        dir=files.located(data.dir) if data.dir else default,
        download=data.download,
        verify=data.verify,
        split_seed=data.split_seed,
        levels=data.levels,
        size=data.size,
        background=data.background,
    )


def _as_asked(info: Info, data: Data) -> Info:
    """The facts of the images at the levels and the size that `settings.data` asks for."""
    depth.check(info.levels, data.levels, where=info.name)
    shape = (*(data.size or info.shape[:2]), info.shape[2])
    return dataclasses.replace(info, levels=data.levels or info.levels, shape=shape)


def _converted(split: Split, stored_levels: int, data: Data) -> Split:
    """The images of a split at `data.resize` and `data.levels`, as `_as_asked` says."""
    images = resizing.every(split.images, data.size)
    return Split(images=depth.scaled(images, stored_levels, data.levels), labels=split.labels)


def _facts(info: Info, data: Data) -> Facts:
    levels = 2 if data.binarization == "dynamic" else info.levels
    grey = data.encoder_input == "grey"
    return Facts(info=info, levels=levels, input_levels=info.levels if grey else levels)


def recall(info: Mapping[str, Any], data: Data) -> Facts:
    """The facts of `settings.data` from what a run has stored of its data set."""
    names = {field.name for field in dataclasses.fields(Info)}  # later versions may store more
    known = {name: value for name, value in info.items() if name in names}
    classes = tuple(info.get("class_names", ()))  # of before 0.2: none
    return _facts(Info(**{**known, "shape": tuple(info["shape"]), "class_names": classes}), data)


def describe(data: Data) -> Facts:
    """The facts of `settings.data`, without files where the data set is known by name."""
    source, _, arg = _source(data)
    return _facts(_as_asked(source.info(arg, _request(data)), data), data)


def load(data: Data) -> Dataset:
    """Reads the data set and cuts off the validation split, where it has none of its own.

    Args:
      data: which images; see `vdp.settings.Data`.

    Returns:
      Dataset with splits train, validation, test. The validation split is that of the data where
      it has one of its own, else data.num_validation images of train: none where that is 0.

    Raises:
      UserError: unknown name, missing or damaged files, levels or sizes that cannot be meant.
    """
    source, name, arg = _source(data)
    stored, splits = source.load(arg, _request(data))
    contract.check(name, stored, splits)
    info = _as_asked(stored, data)
    splits = {name: _converted(split, stored.levels, data) for name, split in splits.items()}
    train = splits["train"]
    if "test" not in splits:
        train, splits["test"] = hold_out(train, _test_share(len(train)), data.split_seed)
    for name in splits.keys() - {"train"}:
        if not len(splits[name]) or splits[name].images.shape[1:] != train.images.shape[1:]:
            raise UserError(
                f"the {name} split of {data.name} has {len(splits[name])} images of shape "
                f"{splits[name].images.shape[1:]}, the training split has "
                f"{train.images.shape[1:]}: provide at least ten images, all of one shape"
            )
    if "validation" not in splits:
        _check_validation(data, len(train))
        train, splits["validation"] = hold_out(train, data.num_validation, data.split_seed + 1)
    splits = {"train": train, "validation": splits["validation"], "test": splits["test"]}
    return Dataset(facts=_facts(info, data), splits=splits)


def _test_share(images: int) -> int:
    """How many of the images of a data set without a test split are held out as one."""
    return images // 10


def _check_validation(data: Data, images: int) -> None:
    """Refuses to hold out all of the training images; UserError."""
    if data.num_validation >= images:
        raise UserError(
            f"data.num_validation={data.num_validation} leaves nothing of the {images} training "
            "images: lower it"
        )


def split_counts(facts: Facts, data: Data) -> dict[str, int]:
    """How many images `load` puts in each split, from the counts of what is stored.

    Args:
      facts: of `describe`, without the images.
      data: the settings that they are of.

    Returns:
      {"train": ..., "validation": ..., "test": ...}; {} where the data set's counts are not known.

    Raises:
      UserError: the validation split leaves nothing to train on.
    """
    counts = facts.info.counts
    if "train" not in counts:
        return {}
    train = counts["train"]
    test = counts.get("test", _test_share(train))
    train -= 0 if "test" in counts else test
    if "validation" in counts:
        return {"train": train, "validation": counts["validation"], "test": test}
    _check_validation(data, train)
    validation = data.num_validation
    return {"train": train - validation, "validation": validation, "test": test}


def moments(split: Split, facts: Facts) -> tuple[float, float]:
    """(mean, standard deviation) over all pixels of what the encoder sees of a split, in [0, 1]."""
    levels = facts.info.levels
    parts = np.array_split(split.images, len(split) // AT_ONCE + 1)  # a count widens every pixel
    shares = sum(np.bincount(part.ravel(), minlength=levels) for part in parts) / split.images.size
    values = np.arange(levels) / (levels - 1)
    mean = float(shares @ values)
    if facts.input_levels == 2:  # as drawn, where they are binarised
        return mean, math.sqrt(mean * (1 - mean))
    return mean, math.sqrt(float(shares @ (values - mean) ** 2))


def fingerprint(dataset: Dataset) -> str:
    """A short hash (16 hexadecimal digits) of the pixels, labels, shapes and levels of all splits.

    It says whether data that a run is continued or evaluated with is what it was trained on: it
    depends on nothing but the images, in their order, and not on where or how they are stored.
    """
    digest = hashlib.blake2b(str(dataset.facts.info.levels).encode(), digest_size=8)
    for name, split in sorted(dataset.splits.items()):
        digest.update(f"{name} {split.images.shape}".encode())
        for array in (split.images, split.labels):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def fixed_images(
    split: Split, facts: Facts, data: Data
) -> tuple[UInt8[np.ndarray, "n h w c"], UInt8[np.ndarray, "n h w c"]]:
    """(target, input) uint8 arrays for evaluation: one binarisation draw by a recorded seed."""
    if data.binarization == "none":
        return split.images, split.images
    target = binarize(split.images, facts.info.levels, data.binarization_seed)
    return target, split.images if data.encoder_input == "grey" else target


def binarize(
    images: UInt8[np.ndarray, "*s"], levels: int = 256, seed: int = 0
) -> UInt8[np.ndarray, "*s"]:
    """One Bernoulli draw per pixel with probability level/(levels-1): uint8 in {0, 1}."""
    rng, drawn = np.random.default_rng(seed), np.empty(images.shape, np.uint8)
    for start in range(0, len(images), AT_ONCE):  # the same numbers as of one draw
        part = images[start : start + AT_ONCE]
        uniform = rng.random(part.shape, dtype=np.float32)
        drawn[start : start + AT_ONCE] = uniform * (levels - 1) < part
    return drawn
