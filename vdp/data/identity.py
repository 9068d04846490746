"""Whether images are the ones a run was trained with, by short hashes that the run keeps."""

import dataclasses
from collections.abc import Mapping

from vdp.data import datasets
from vdp.data.datasets import Dataset
from vdp.errors import UserError
from vdp.settings import Data, compare


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
            "trained with: bring them back, or name other data (--config.data.name=...) to "
            "evaluate on it, and another --workdir to train on it"
        )


def load(data: Data, *, trained: Data, stored: Mapping[str, str]) -> Dataset:
    """The data that is asked for, which is checked where it is what a run was trained with.

    Args:
      data: the settings of now.
      trained: those of the run.
      stored: the hashes that the run keeps.

    Raises:
      UserError: as of `datasets.load` and of `check_same`.
    """
    dataset = datasets.load(data)
    if stored and compare.same_images(trained, data):
        check_same(stored, hashes(dataset), data)
    return dataset
