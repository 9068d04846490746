"""The feature functions of FID by name: a classifier of the data's labels, or Inception-v3."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vdp import build, components
from vdp.data import datasets
from vdp.errors import UNEXPECTED, Fault, UserError, first_line
from vdp.evaluation import classifier, inception
from vdp.levels import to_unit
from vdp.metrics import fid, per_batch
from vdp.record import read_run
from vdp.run import Run, load
from vdp.runtime import files, hashes, interruption
from vdp.settings import Eval, Settings
from vdp.types import Classifying, Model

INCEPTION_BATCH = 64
TRIED = 8  # images that a function of one's own is tried on


def _parts(chosen: Eval) -> tuple[str, str]:
    name, _, argument = chosen.fid_features.partition(":")
    return name, str(files.located(argument)) if argument else ""


def check(settings: Settings, dataset: datasets.Dataset) -> None:
    """Refuses features of FID that cannot be had, before anything is trained.

    Raises:
      UserError: no labels to train a classifier on, no such file, run or function, a run that is
        no classifier, weights that cannot be read, or images that Inception cannot see.
    """
    chosen = settings.eval
    name, argument = _parts(chosen)
    without = dataset.splits["train"].labels.min() < 0 or dataset.facts.info.num_classes < 2
    if name == "classifier" and not argument and without:
        raise UserError(
            f"{settings.data.name} has no labels, or one class, to train the features of FID on: "
            "name a file of Inception weights in eval.fid_features=inception:FILE, or leave fid "
            "out of eval.estimators"
        )
    if argument and not pathlib.Path(argument).exists():
        raise UserError(f"eval.fid_features={chosen.fid_features} names nothing that exists")
    if len(dataset.splits[chosen.fid_reference]) < 2:
        raise UserError(f"eval.fid_reference={chosen.fid_reference} has less than two images")
    if name == "classifier" and argument:
        _check_classifier(argument, dataset)
    if name == "inception":
        channels = dataset.facts.shape[2]
        if channels not in (1, 3):
            raise UserError(f"Inception sees one or three channels; these images have {channels}")
        inception.load_weights(argument)
    if "." in name:
        _own(name, dataset)


def _own(name: str, dataset: datasets.Dataset) -> fid.Features:
    """A feature function of one's own, tried on a few images of the data.

    What it gives them is part of its fingerprint, so that no statistics of another function are
    taken from the cache where both call themselves the same.

    Raises:
      UserError: it makes no `fid.Features`, or gives what is no number for every image.
      Fault: its code fails.
    """
    what, few = f"eval.fid_features={name}", dataset.splits["train"].images[:TRIED]
    try:
        made = components.resolve("eval.fid_features", name)(dataset.facts.info.levels)
        if not isinstance(made, fid.Features):
            kind = type(made).__name__
            raise UserError(f"it gives {kind} where vdp.metrics.fid.Features are needed")
        found = np.asarray(made.apply(few))
        if found.ndim != 2 or len(found) != len(few):
            raise UserError(f"it gives features {list(found.shape)} for {len(few)} images: [N, D]")
        if not np.isfinite(found).all():
            raise UserError("features of training images are not finite")
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except UNEXPECTED as error:
        raise Fault(f"{what} fails: {type(error).__name__}: {first_line(error)}") from error
    fingerprint = hashes.digest(made.name, made.fingerprint, found)
    return dataclasses.replace(made, fingerprint=fingerprint)


def _check_classifier(workdir: str, dataset: datasets.Dataset) -> None:
    """Refuses a run that is no classifier of such images; UserError."""
    record = read_run(workdir)
    facts = datasets.recall(record.data, record.settings.data) if record.data else dataset.facts
    if not isinstance(build.assemble(record.settings.model, facts), Classifying):
        raise UserError("eval.fid_features=classifier:WORKDIR must name the run of a classifier")
    if facts.shape != dataset.facts.shape:
        raise UserError(
            f"the classifier in {workdir} takes images of shape {facts.shape}, not of "
            f"{dataset.facts.shape}"
        )


def named(settings: Settings, dataset: datasets.Dataset) -> fid.Features:
    """The feature function that `eval.fid_features` names; UserError as of `check`.

    Args:
      settings: of the run whose samples are judged.
      dataset: of settings.data; its classifier is trained where it is asked for and not there.
    """
    check(settings, dataset)
    name, argument = _parts(settings.eval)
    levels = dataset.facts.info.levels
    if name not in ("classifier", "inception"):
        return _own(name, dataset)
    if name == "inception":
        made = of_inception(argument, levels)
    else:
        made = of_classifier(
            load(argument) if argument else classifier.trained(settings, dataset), levels
        )
    # both see pixel over levels: the same pixels of other levels are other images
    return dataclasses.replace(made, fingerprint=hashes.digest(made.fingerprint, f"of {levels}"))


def of_classifier(trained: Run[Model], levels: int) -> fid.Features:
    """The features before a trained classifier's last layer, of images with `levels` levels."""

    def apply(images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
        arrays = (images, images, np.full(len(images), -1, np.int32))
        return trained.map(per_batch.features, arrays, levels=levels)

    leaves = [np.asarray(x) for x in jax.tree.leaves((trained.params, trained.stats))]
    name = f"classifier of {trained.settings.data.name}, trained by vdp"
    fingerprint = hashes.digest(name, *leaves)
    name = f"{name}, weights {fingerprint[:12]}"
    return fid.Features(name=name, fingerprint=fingerprint, apply=apply)


def of_inception(path: str, levels: int) -> fid.Features:
    """The 2048 features of Inception-v3's last pooling, with the weights in a file."""
    weights = inception.load_weights(path)
    compiled = jax.jit(functools.partial(inception.pool_features, weights))

    def apply(images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
        features = []
        for start in range(0, len(images), INCEPTION_BATCH):
            batch = images[start : start + INCEPTION_BATCH]
            padded = np.resize(batch, (INCEPTION_BATCH, *batch.shape[1:]))
            of_batch = np.asarray(compiled(to_unit(padded, levels)))
            features.append(of_batch[: len(batch)])
            interruption.check_alone()  # processes may differ in what their caches hold
        return np.concatenate(features)

    checksum = inception.checksum(path)
    return fid.Features(
        name=f"Inception-v3 pool3, weights sha256 {checksum[:12]}",
        fingerprint=checksum,
        apply=apply,
    )
