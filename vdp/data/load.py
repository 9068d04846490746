"""From `config.data` to the splits a run works on; the test split is never touched by training."""

import dataclasses
import importlib
import importlib.resources
import os
import pathlib

import numpy as np

from vdp.data.core import Info, Request, Split, hold_out
from vdp.errors import UserError, choose_from

SPLITS = ("train", "validation", "test")
CHOICES = {
    "binarization": ("none", "dynamic"),
    "encoder_input": ("target", "grey"),
    "augmentation": ("none", "flip"),
    "placement": ("auto", "device", "host"),
}


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


def _source(config):
    name, _, arg = str(config.name or "").partition(":")
    folder = importlib.resources.files("vdp.data.sources")
    names = {e.name.removesuffix(".py") for e in folder.iterdir() if e.name.endswith(".py")}
    known = {name for name in names if not name.startswith("_")}
    if name not in known:
        needs_arg = {"npz": "npz:PATH", "folder": "folder:PATH", "tfds": "tfds:NAME"}
        needs_arg["synthetic"] = "synthetic:HxWxC[xLEVELS]"
        raise choose_from("data set", name, {needs_arg.get(n, n) for n in known})
    return importlib.import_module(f"vdp.data.sources.{name}"), name, arg


def _request(config) -> Request:
    if min(config.split_seed, config.binarization_seed) < 0:
        raise UserError("data.split_seed and data.binarization_seed must not be negative")
    root = os.environ.get("VDP_DATA")
    default = pathlib.Path(root).expanduser() / config.name.partition(":")[0] if root else None
    return Request(
        dir=pathlib.Path(config.dir).expanduser() if config.dir else default,
        download=config.download,
        verify=config.verify,
        split_seed=config.split_seed,
    )


def _facts(info: Info, config) -> Facts:
    for field, accepted in CHOICES.items():
        if config[field] not in accepted:
            raise choose_from(f"data.{field}", config[field], accepted)
    levels = 2 if config.binarization == "dynamic" else info.levels
    grey = config.encoder_input == "grey"
    return Facts(info=info, levels=levels, input_levels=info.levels if grey else levels)


def recall(info: dict, config) -> Facts:
    """The facts of `config.data` from what a run has stored of its data set."""
    return _facts(Info(**{**info, "shape": tuple(info["shape"])}), config)


def describe(config) -> Facts:
    """The facts of `config.data`, without files where the data set is known by name."""
    source, _, arg = _source(config)
    return _facts(source.info(arg, _request(config)), config)


def load(config) -> Dataset:
    """Reads the data set and cuts off the validation split.

    Args:
      config: `config.data`.

    Returns:
      Dataset with splits train, validation (the last empty where data.num_validation is 0), test.

    Raises:
      UserError: unknown name, missing or damaged files.
    """
    source, _, arg = _source(config)
    info, splits = source.load(arg, _request(config))
    train = splits["train"]
    if "test" not in splits:
        train, splits["test"] = hold_out(train, len(train) // 10, config.split_seed)
    if config.num_validation >= len(train):
        raise UserError(
            f"data.num_validation={config.num_validation} leaves nothing of the {len(train)} "
            "training images: lower it"
        )
    if not len(splits["test"]) or splits["test"].images.shape[1:] != train.images.shape[1:]:
        raise UserError(
            f"the test split of {config.name} has {len(splits['test'])} images of shape "
            f"{splits['test'].images.shape[1:]}, the training split has {train.images.shape[1:]}: "
            "provide at least ten images, all of one shape"
        )
    train, validation = hold_out(train, config.num_validation, config.split_seed + 1)
    splits = {"train": train, "validation": validation, "test": splits["test"]}
    return Dataset(facts=_facts(info, config), splits=splits)


def fixed_images(split: Split, facts: Facts, config) -> tuple[np.ndarray, np.ndarray]:
    """(target, input) uint8 arrays for evaluation: one binarisation draw by a recorded seed."""
    if config.binarization == "none":
        return split.images, split.images
    target = binarize(split.images, facts.info.levels, config.binarization_seed)
    return target, split.images if config.encoder_input == "grey" else target


def binarize(images: np.ndarray, levels: int = 256, seed: int = 0) -> np.ndarray:
    """One Bernoulli draw per pixel with probability level/(levels-1): uint8 in {0, 1}."""
    uniform = np.random.default_rng(seed).random(images.shape, dtype=np.float32)
    return (uniform * (levels - 1) < images).astype(np.uint8)
