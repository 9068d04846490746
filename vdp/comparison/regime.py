"""Whether numbers of several runs are of the same question: the same images, the same masses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vdp.comparison.runs import Arm, Evaluated
from vdp.errors import UserError, shown
from vdp.evaluation.values import IMAGE

TRAINED = ("data.binarization", "data.augmentation")  # what training made of its images
OF_IMAGES = ("data.name", "data.levels", "data.resize", "data.background")


def check(arms: Sequence[Arm]) -> int:
    """Refuses runs that answer different questions.

    Args:
      arms: two or more.

    Returns:
      How many images all runs have in common, from the first on.

    Raises:
      UserError: split, images, binarisation, augmentation or masses differ; it says which.
    """
    every = [(arm.label, run) for arm in arms for run in arm.runs]
    known = [(label, run) for label, run in every if run.values is not None]
    for check_pair, among in ((_check_facets, every), (_check_images, known)):
        for label, run in among[1:]:
            first_label, first = among[0]
            names = (first_label, label) if label != first_label else (_place(first), _place(run))
            check_pair(names, first, run)
    return min(run.result["num_examples"] for _, run in every)


def _place(run: Evaluated) -> str:
    return str(run.path.parent)


def _facets(run: Evaluated, other: Evaluated) -> dict[str, Any]:
    """What has to be the same; names of data only where the images themselves are not known."""
    settings = run.settings
    facets = {"the split": run.result["split"]} | {name: settings[name] for name in TRAINED}
    if run.values is None or other.values is None:
        facets |= {name: settings[name] for name in OF_IMAGES}
        facets["the number of images"] = run.result["num_examples"]
    if facets["data.binarization"] != "none":
        facets["data.binarization_seed"] = run.result.get("binarization_seed")
    bounds = [entry for name, entry in run.estimates.items() if name != "score"]
    if bounds:
        density = any(entry["bits_per_dim"] is None for entry in bounds)
        of = f"densities by the likelihood {settings.get('model.likelihood.name')}"
        facets["the likelihood"] = of if density else "probabilities"
    return facets


def _check_facets(names: tuple[str, str], first: Evaluated, other: Evaluated) -> None:
    a, b = _facets(first, other), _facets(other, first)
    different = [name for name in a if name in b and a[name] != b[name]]
    if different:
        told = "; ".join(
            f"{name} is {shown(a[name])} of {names[0]} and {shown(b[name])} of {names[1]}"
            for name in different
        )
        raise UserError(
            f"{names[0]} and {names[1]} do not answer the same question: {told}; compare runs of "
            "one data regime"
        )


def _check_images(names: tuple[str, str], a: Evaluated, b: Evaluated) -> None:
    """Refuses other images, by the first that differs; the first n of N images are the same."""
    images = [run.values[IMAGE] for run in (a, b) if run.values is not None]
    shorter = min(map(len, images))
    differ = np.flatnonzero(images[0][:shorter] != images[1][:shorter])
    if len(differ):
        raise UserError(
            f"{names[0]} and {names[1]} were evaluated on other images: {len(differ):,} of "
            f"{shorter:,} differ, the first is number {differ[0]}; evaluate both on the same data "
            "(config.data.name, data.binarization_seed, data.split_seed)"
        )
