"""How well labels of images can be read off their codes: `representation` of eval.json."""

from typing import Any

import numpy as np

from vdp.data import datasets
from vdp.data.core import Split
from vdp.errors import UserError
from vdp.metrics import probe
from vdp.run import Run
from vdp.settings import Settings
from vdp.types import Encoding, Model

FITTED_ON = 10_000  # images of the training split at most
LATENTS = 4  # of a hierarchy, from the top
FEWEST = 50  # labelled validation images that decide a penalty; with fewer it is cross-validation


def check(settings: Settings, model: Model, dataset: datasets.Dataset) -> None:
    """Refuses `eval.probe` where it can have no answer, before anything is computed.

    Raises:
      UserError: the model has no encoder, the images have no labels, or those that are scored would
        be those that are fitted.
    """
    if not settings.eval.probe:
        return
    if not isinstance(model, Encoding):
        raise UserError(
            f"model {settings.model['name']} has no encoder, and so no codes for "
            "config.eval.probe=True: leave it out"
        )
    if settings.eval.split == "train":
        raise UserError(
            "config.eval.probe=True is fitted on the training images and scored on others: ask for "
            "config.eval.split=test or validation"
        )
    classes = np.unique(labelled(dataset.splits["train"]).labels)
    if len(classes) < 2 or not len(labelled(dataset.splits[settings.eval.split])):
        raise UserError(
            f"config.eval.probe=True needs labels of two classes or more, and {settings.data.name} "
            "has none: leave it out"
        )


def labelled(split: Split) -> Split:
    """The images that have a label."""
    return split.take(np.flatnonzero(split.labels >= 0))


def measure(run: Run[Model], dataset: datasets.Dataset, split: Split) -> dict[str, Any]:
    """Accuracies of probes on the means of q(z|x), of every latent by itself.

    Args:
      run: the checkpoint, of a model and images that `check` lets pass.
      dataset: whose training images they are fitted on, at most FITTED_ON of them, drawn by
        eval.seed; validation images decide the penalty where they are not the ones scored.
      split: the images of `eval.split` that they are scored on.

    Returns:
      {"num_fitted", "num_scored", "majority": the share of the commonest class among those scored,
      "latents": [{"latent", "units", "linear": ..., "nearest": ...}]}, top first, the LATENTS
      topmost; entries as of `vdp.metrics.probe`.
    """
    chosen, scored = run.settings.eval, labelled(split)
    train, held_out = labelled(dataset.splits["train"]), labelled(dataset.splits["validation"])
    if len(train) > FITTED_ON:
        order = np.random.default_rng(chosen.seed).permutation(len(train))
        train = train.take(np.sort(order[:FITTED_ON]))
    parts = {"train": train, "scored": scored}
    if chosen.split != "validation" and len(held_out) >= FEWEST:
        parts["held_out"] = held_out.take(slice(FITTED_ON))
    means = {part: _means(run, images) for part, images in parts.items()}
    rows = []
    for name in means["train"]:
        of = {part: (means[part][name], images.labels) for part, images in parts.items()}
        rows.append(
            {
                "latent": name,
                "units": means["train"][name].shape[1],
                "linear": probe.linear(**of),
                "nearest": probe.nearest(of["train"], of["scored"]),
            }
        )
    return {
        "num_fitted": len(train),
        "num_scored": len(scored),
        "majority": float(np.bincount(scored.labels).max() / len(scored)),
        "latents": rows,
    }


def _means(run: Run[Model], split: Split) -> dict[str, np.ndarray]:
    """The means of the topmost latents, [N, units] each; UserError where they are not finite."""
    _, inputs = datasets.fixed_images(split, run.facts, run.settings.data)
    parts = [_flat(code.means) for code in run.encode_each(inputs)]
    means = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not all(np.isfinite(codes).all() for codes in means.values()):
        raise UserError(
            f"codes of step {run.step} are not finite, so that config.eval.probe=True has no "
            "answer: choose another config.eval.checkpoint"
        )
    return means


def _flat(means: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: means[name].reshape(len(means[name]), -1) for name in list(means)[:LATENTS]}
