"""The feature functions of FID by name: a classifier of the data's labels, or Inception-v3."""

import functools
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from vdp import build, parallel, variants
from vdp import config as configs
from vdp import fit as fitting
from vdp import run as runs
from vdp import workdir as files
from vdp.data import load as data_load
from vdp.errors import UserError
from vdp.evals import fid
from vdp.nets import inception
from vdp.report import Progress
from vdp.unfinished import Rows

CHUNK = 1000  # samples that are timed together at the most
INCEPTION_BATCH = 64
DONE = "done.json"  # in the folder of a classifier that is trained


def check(config, dataset: data_load.Dataset) -> None:
    """Refuses features of FID that cannot be had, before anything is trained.

    Raises:
      UserError: no labels to train a classifier on, no such file or run, unknown name.
    """
    name, _, argument = config.eval.fid_features.partition(":")
    if name == "classifier" and not argument and dataset.splits["train"].labels.min() < 0:
        raise UserError(
            f"{config.data.name} has no labels to train the features of FID on: name a file of "
            "Inception weights in eval.fid_features=inception:FILE, or leave fid out of "
            "eval.estimators"
        )
    if argument and not pathlib.Path(argument).exists():
        raise UserError(f"eval.fid_features={config.eval.fid_features} names nothing that exists")
    if len(dataset.splits[config.eval.fid_reference]) < 2:
        raise UserError(f"eval.fid_reference={config.eval.fid_reference} has less than two images")
    if name == "classifier" and argument:
        shape = tuple(configs.read_run_file(argument)["data"]["shape"])
        if shape != dataset.facts.shape:
            raise UserError(
                f"the classifier in {argument} takes images of shape {shape}, not of "
                f"{dataset.facts.shape}"
            )
    known = name == "classifier" or (name == "inception" and argument) or "." in name
    if not known:
        raise UserError(
            f"unknown eval.fid_features {config.eval.fid_features!r}: classifier, "
            "classifier:WORKDIR, inception:FILE, or a dotted name of a function(levels) -> Features"
        )
    if "." in name:
        build.resolve("eval.fid_features", name)


def of_run(run: runs.Run, dataset: data_load.Dataset) -> fid.Features:
    """The feature function that `eval.fid_features` of a run names; UserError as of `check`."""
    check(run.config, dataset)
    name, _, argument = run.config.eval.fid_features.partition(":")
    levels = run.facts.info.levels
    if name == "classifier":
        if argument:
            return _of_classifier(runs.load(argument), levels)
        return _of_classifier(_trained_classifier(run.config, dataset), levels)
    if name == "inception":
        return _of_inception(argument, levels)
    return build.resolve("eval.fid_features", name)(levels)


def _of_classifier(trained: runs.Run, levels: int) -> fid.Features:
    if not hasattr(trained.model, "features"):
        raise UserError("eval.fid_features=classifier:WORKDIR must name the run of a classifier")

    def features(model, params, stats, batch, _):
        images = batch.input.astype(jnp.float32) / (levels - 1)
        return model.features(params, stats, images)[0]

    def apply(images):
        arrays = (images, images, np.full(len(images), -1, np.int32))
        return trained.map(("features", levels), features, arrays)

    leaves = [np.asarray(x) for x in jax.tree.leaves((trained.params, trained.stats))]
    name = f"classifier of {trained.config.data.name}, trained by vdp"
    return fid.Features(name=name, fingerprint=fid.fingerprint(name, *leaves), apply=apply)


def _of_inception(path: str, levels: int) -> fid.Features:
    weights = inception.load_weights(path)
    compiled = jax.jit(functools.partial(inception.pool_features, weights))

    def apply(images):
        found = []
        for start in range(0, len(images), INCEPTION_BATCH):
            batch = images[start : start + INCEPTION_BATCH]
            padded = np.resize(batch, (INCEPTION_BATCH, *batch.shape[1:]))
            scaled = padded.astype(np.float32) / (levels - 1)
            found.append(np.asarray(compiled(scaled))[: len(batch)])
        return np.concatenate(found)

    checksum = inception.checksum(path)
    return fid.Features(
        name=f"Inception-v3 pool3, weights sha256 {checksum[:12]}",
        fingerprint=checksum,
        apply=apply,
    )


def _trained_classifier(config, dataset: data_load.Dataset) -> runs.Run:
    """The classifier of a data set, trained on first use and kept in the user's cache."""
    classifier = variants.classifier(config.data)
    images = dataset.splits["train"]
    recipe = configs.to_json(classifier)
    for place in configs.PLACES:
        recipe["data"].pop(place)
    name = fid.fingerprint(str(recipe), images.images, images.labels)[:16]
    source = config.data.name.partition(":")[0]
    folder = fid.cache_folder() / "classifiers" / f"{source}-{name}"
    found = _finished(folder)
    if found is None:
        _train_classifier(classifier, folder)
        found = runs.load(folder)
    return found


def _finished(folder: pathlib.Path) -> runs.Run | None:
    """The classifier, or None: not trained to the end yet, or with a layout of another version."""
    if not (folder / DONE).exists():
        return None
    try:
        return runs.load(folder)
    except UserError:
        return None


def _train_classifier(classifier, folder: pathlib.Path) -> None:
    fitting.check(classifier)
    progress = Progress("features of FID", classifier.train.steps, enabled=parallel.is_writer())
    try:
        if not parallel.is_writer():
            return fitting.fit(classifier, folder, data_load.load(classifier.data), progress)
        files.prepare(folder)
        with files.lock(folder, wait=True):
            if _finished(folder) is None:  # another process may have made it meanwhile
                if (folder / DONE).exists():  # of no use to this version, and only a cache
                    files.clear(folder)
                progress.say(f"training a classifier for the features of FID in {folder}")
                fitting.fit(classifier, folder, data_load.load(classifier.data), progress)
                files.write_json(folder / DONE, {"steps": classifier.train.steps})
    finally:
        progress.close()
    return None


def fid_and_sampling(
    run: runs.Run, dataset: data_load.Dataset, features: fid.Features, kept: Rows
) -> tuple[dict, dict]:
    """Compares samples of a run with `eval.fid_reference`, and times the drawing of them.

    Args:
      run: the checkpoint.
      dataset: the data of `run.config.data`.
      features: as of `of_run`.
      kept: the samples that are drawn already.

    Returns:
      (what eval.json holds under "fid", what it holds under "sampling": the median seconds of
      drawing `num` images; a process's first draw, which compiles, is not timed). "real" is the
      distance of the evaluated split itself from the reference, with the same features: what a
      perfect model would get.
    """
    config, options = run.config.eval, runs.sampler_options(run.config.sample)
    levels = run.facts.info.levels
    reference = dataset.splits[config.fid_reference].images
    chunk = min(CHUNK, max(config.fid_samples // 4, 1))
    drawn = [rows] if (rows := kept.read()) else []
    first = len(rows["images"]) // chunk if rows else 0
    progress = Progress("samples for FID", config.fid_samples, enabled=parallel.is_writer())
    for index in range(first, -(-config.fid_samples // chunk)):
        start = time.perf_counter()
        images = run.sample(chunk, seed=config.seed + index, **options)
        spent = time.perf_counter() - start
        timed = np.full(chunk, np.nan if index == first else spent)
        drawn.append({"images": fid.to_levels(images, levels), "seconds": timed})
        kept.add(drawn[-1])
        progress.update(min((index + 1) * chunk, config.fid_samples), f"{spent:.1f} s")
    progress.close()
    samples = np.concatenate([part["images"] for part in drawn])[: config.fid_samples]
    seconds = np.concatenate([part["seconds"] for part in drawn])[::chunk]
    seconds = seconds[np.isfinite(seconds)]
    expected = fid.cached_statistics(features, reference)
    distance = lambda images: fid.frechet_distance(fid.statistics(features.apply(images)), expected)
    real = dataset.splits[config.split].images
    result = {
        "value": distance(samples),
        "num_samples": len(samples),
        "reference": config.fid_reference,
        "num_reference": expected.num,
        "real": distance(real) if len(real) > 1 else None,
        "real_split": config.split,
        "num_real": len(real),
        "features": features.name,
        "rounding": f"likelihood means to {levels} levels",
        "sampler": options or "the prior's own",
    }
    return result, {"num": chunk, "seconds": float(np.median(seconds)) if len(seconds) else None}
