"""Whether images are the ones a run was trained with, by short hashes that the run keeps."""

import dataclasses
from collections.abc import Mapping

from vdp.data import datasets, depth
from vdp.data.core import Absent
from vdp.data.datasets import Dataset, Facts
from vdp.errors import UserError
from vdp.settings import Data, compare

OF_A_RUN = "this run's model"
OTHER_DATA = "name other data (config.data.name)"


def hashes(dataset: Dataset) -> dict[str, str]:
    """The fingerprint of each split, by its name."""
    alone = lambda name: dataclasses.replace(dataset, splits={name: dataset.splits[name]})
    return {name: datasets.fingerprint(alone(name)) for name in dataset.splits}


def changed(stored: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The splits whose hashes differ; none of those that are not stored."""
    return [split for split in now if stored.get(split, now[split]) != now[split]]


def check_same(stored: Mapping[str, str], now: Mapping[str, str], data: Data) -> None:
    """Refuses data that has changed under a run.

    Args:
      stored: the hashes that the run keeps; empty in runs of versions that kept none.
      now: those of the data as it is.
      data: the settings of both.

    Raises:
      UserError: pixels, labels or levels of a split differ.
    """
    if splits := changed(stored, now):
        raise UserError(
            f"the {' and '.join(splits)} images of {data.name} are not those that this run was "
            "trained with: bring them back, or name other data (config.data.name=...) to "
            "evaluate on it, and another workdir to train on it"
        )


def check_fits(
    now: Facts,
    wanted: Facts,
    *,
    name: str | None,
    model: str = OF_A_RUN,
    otherwise: str = OTHER_DATA,
) -> None:
    """Refuses images that a trained model is not made for.

    Args:
      now: facts of the images.
      wanted: facts of those that the model was trained with.
      name: of the images' data set.
      model: as the subject of a sentence.
      otherwise: what can be done where images cannot be made to fit.

    Raises:
      UserError: another size or number of channels, or other levels.
    """
    size = lambda facts: "x".join(map(str, facts.shape))
    if now.shape != wanted.shape:
        height, width, channels = wanted.shape
        resized = f"ask for {_field('resize', f'{height}x{width}')}, or "
        raise UserError(
            f"the images of {name} are {size(now)} where {model} takes {size(wanted)}: "
            f"{resized if now.shape[2] == channels else ''}{otherwise}"
        )
    if (now.levels, now.input_levels) != (wanted.levels, wanted.input_levels):
        levels = wanted.info.levels
        ask = f"ask for {_field('levels', levels)}, or "
        scaled = ask if now.info.levels > levels else ""
        if (now.info.levels, levels) == (2, depth.MOST):
            scaled = f"where white is stored as 255, {ask}"
        if now.info.levels == depth.MOST > levels and (name or "").startswith("npz:"):
            scaled = (
                f"where it holds 0..{levels - 1}, store levels={levels} in the archive; {scaled}"
            )
        raise UserError(
            f"the images of {name} have {now.info.levels} levels where {model} takes {levels}: "
            f"{scaled}{otherwise}"
        )


def check_classes(now: Facts, wanted: Facts, *, name: str | None) -> None:
    """Refuses labels that are numbers of other classes than a classifier's; UserError."""
    names = now.info.class_names, wanted.info.class_names
    if now.info.num_classes > wanted.info.num_classes:
        raise UserError(
            f"{name} has {now.info.num_classes} classes, and the classifier of this run tells "
            f"{wanted.info.num_classes}: it is evaluated on images of its own classes"
        )
    if all(names) and names[0] != names[1]:
        raise UserError(
            f"the classes of {name} are {', '.join(names[0])}, and those of this run "
            f"{', '.join(names[1])}: a classifier is evaluated on images of its own classes; a "
            "folder of pictures has a folder for each of them"
        )


def _field(name: str, value: str | int) -> str:
    """A field of the data for a sentence, at the command line and in Python."""
    return f"config.data.{name}={value} (in Python data=dict(name=..., {name}={value!r}))"


def loaded(data: Data) -> Dataset:
    """`datasets.load`, which says what can be done where the images of a run lie elsewhere."""
    try:
        return datasets.load(data)
    except Absent as error:
        kind, colon, _ = (data.name or "").partition(":")
        where = f"config.data.name={kind}:PATH" if colon else "config.data.dir=DIR"
        raise Absent(
            f"{error}; where the images of this run lie elsewhere, say so by {where} at the "
            "command line, by vdp.load(..., data=PATH) in Python"
        ) from error


def load(data: Data, facts: Facts, *, trained: Data, stored: Mapping[str, str]) -> Dataset:
    """The data that is asked for, which is checked where it is what a run was trained with.

    Args:
      data: the settings of now.
      facts: of the images that the run's model is made for.
      trained: those of the run.
      stored: the hashes that the run keeps.

    Raises:
      UserError: as of `datasets.load`, `check_fits` and `check_same`.
    """
    dataset = loaded(data)
    check_fits(dataset.facts, facts, name=data.name)
    if stored and compare.same_images(trained, data):
        check_same(stored, hashes(dataset), data)
    return dataset
