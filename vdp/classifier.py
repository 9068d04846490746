"""The classifier whose features are those of FID by default: trained on first use, then kept."""

import pathlib

import jax

from vdp import variants
from vdp.data import datasets
from vdp.errors import UserError
from vdp.metrics import fid
from vdp.record import read_run
from vdp.run import Run, restore
from vdp.runtime import files, parallel
from vdp.runtime.progress import Progress
from vdp.settings import Settings, compare
from vdp.settings.parse import parse, to_config, to_json
from vdp.training.fit import fit
from vdp.types import Model

DONE = "done.json"  # in the folder of a classifier that is trained


def trained(settings: Settings, dataset: datasets.Dataset) -> Run[Model]:
    """The classifier of a data set, from the user's cache where it is there.

    Args:
      settings: of the run whose samples are judged; its `data` is what the classifier sees.
      dataset: of settings.data.
    """
    chosen = parse(variants.classifier(to_config(settings).data))
    images = dataset.splits["train"]
    recipe = to_json(chosen)
    for section in ("describe", "codec"):  # no classifier depends on them, or on a prior's chain
        del recipe[section]
    for field in ("reverse", "num_steps"):
        del recipe["eval"][field]
    for field in ("microbatches", "quick_compile"):  # which earlier versions did not have
        del recipe["train"][field]
    for place in compare.PLACES:
        recipe["data"].pop(place)
    name = fid.fingerprint(str(recipe), images.images, images.labels)[:16]
    source = str(settings.data.name).partition(":")[0]
    folder = fid.cache_folder() / "classifiers" / f"{source}-{name}"
    opened = _finished(folder)
    if opened is None:
        _train(_on(jax.device_count(), chosen), folder)
        opened = _opened(folder)
    return opened


def _on(devices: int, settings: Settings) -> Settings:
    """The settings with batches that fall evenly on the devices."""
    upwards = lambda size: -(-size // devices) * devices
    return settings.replace(
        train=dict(batch_size=upwards(settings.train.batch_size)),
        eval=dict(batch_size=upwards(settings.eval.batch_size)),
    )


def _opened(folder: pathlib.Path) -> Run[Model]:
    record = read_run(folder)
    return restore(_on(jax.device_count(), record.settings), record, "best")


def _finished(folder: pathlib.Path) -> Run[Model] | None:
    """The classifier, or None: not trained to the end yet, or with a layout of another version."""
    if not (folder / DONE).exists():
        return None
    try:
        return _opened(folder)
    except UserError:
        return None


def _prepare(folder: pathlib.Path) -> None:
    try:
        files.prepare(folder)
    except UserError as error:
        raise UserError(
            f"the classifier whose features are those of FID cannot be kept in {folder}: let "
            "XDG_CACHE_HOME be a folder that can be written, name a run of digits_classifier or "
            "the like in eval.fid_features=classifier:WORKDIR, or leave fid out of eval.estimators"
        ) from error


def _train(settings: Settings, folder: pathlib.Path) -> None:
    progress = Progress("features of FID", settings.train.steps, enabled=parallel.is_writer())
    dataset = datasets.load(settings.data)
    try:
        if not parallel.is_writer():
            fit(settings, folder, dataset, progress)
            return
        _prepare(folder)
        with files.lock(folder, wait=True):
            if _finished(folder) is None:  # another process may have made it meanwhile
                if (folder / DONE).exists():  # of no use to this version, and only a cache
                    files.clear(folder)
                progress.say(f"training a classifier for the features of FID in {folder}")
                fit(settings, folder, dataset, progress)
                files.write_json(folder / DONE, {"steps": settings.train.steps})
    finally:
        progress.close()
