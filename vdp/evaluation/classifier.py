"""The classifier whose features are those of FID by default: trained on first use, then kept."""

import contextlib
import pathlib

import jax

from vdp import variants
from vdp.data import datasets, depth, identity
from vdp.data.core import Split
from vdp.errors import Interrupted, UserError
from vdp.record import PATH_KINDS, read_run
from vdp.run import Run, restore
from vdp.runtime import files, hashes, interruption, parallel
from vdp.runtime.progress import Progress
from vdp.settings import Settings, compare
from vdp.settings.parse import parse, to_config, to_json
from vdp.training.checkpoint import saved_steps
from vdp.training.fit import fit
from vdp.types import Model

DONE = "done.json"  # in the folder of a classifier that is trained
LATER = {  # fields that earlier versions did not have, and that change no classifier
    "eval": ("reverse", "num_steps", "refine_steps", "refine_rate"),
    "train": ("microbatches", "quick_compile"),
}


def trained(settings: Settings, dataset: datasets.Dataset) -> Run[Model]:
    """The classifier of a data set, from the user's cache where it is there.

    Args:
      settings: of the run whose samples are judged; its `data` is what the classifier sees.
      dataset: of settings.data.
    """
    chosen, folder = _place(settings, dataset)
    opened = _finished(folder)
    if opened is None:
        _train(_on(jax.device_count(), chosen), folder)
        opened = _opened(folder)
    return opened


def check_place(settings: Settings, dataset: datasets.Dataset) -> None:
    """Refuses a cache that cannot keep the classifier, before a run is trained that needs it.

    Raises:
      UserError: there is none yet, and its folder cannot be written.
    """
    if settings.eval.fid_features == "classifier" and parallel.is_writer():
        folder = _place(settings, dataset)[1]
        if not (folder / DONE).exists():  # opening it would be for all processes to do
            _prepare(folder)


def _place(settings: Settings, dataset: datasets.Dataset) -> tuple[Settings, pathlib.Path]:
    """(the classifier's settings, its folder)."""
    chosen = parse(variants.classifier(to_config(settings).data))
    name = _name(chosen, dataset.splits["train"], dataset.facts.info.levels)
    return chosen, files.cache_folder() / "classifiers" / name


def _name(chosen: Settings, images: Split, levels: int) -> str:
    """The name of a classifier's folder: its data set, and a number of its recipe and images.

    It sees pixels over the levels, which are part of the images. Versions share their classifiers:
    a field that is new and changes none stays out of the recipe.
    """
    recipe = to_json(chosen)
    for section in ("describe", "codec"):
        del recipe[section]
    for section, fields in LATER.items():
        for field in fields:
            del recipe[section][field]
    for place in compare.PLACES:
        recipe["data"].pop(place)
    source = str(chosen.data.name).partition(":")[0]
    of = [f"of {levels}"] * (source in PATH_KINDS and levels < depth.MOST)  # else always the same
    return f"{source}-{hashes.digest(str(recipe), images.images, images.labels, *of)[:16]}"


def _on(devices: int, settings: Settings) -> Settings:
    """The settings with batches that fall evenly on the devices."""
    upwards = lambda size: parallel.next_multiple(size, devices)
    return settings.replace(
        train=dict(batch_size=upwards(settings.train.batch_size)),
        eval=dict(batch_size=upwards(settings.eval.batch_size)),
    )


def _opened(folder: pathlib.Path) -> Run[Model]:
    record = read_run(folder)
    return restore(_on(jax.device_count(), record.settings), record, "best")


def _finished(folder: pathlib.Path) -> Run[Model] | None:
    """The classifier, or None: not trained to the end yet, or with a layout of another version."""
    done = parallel.is_writer() and (folder / DONE).exists()
    if not parallel.agreed(done):  # opening it is for all processes to do
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


def _goes_on(folder: pathlib.Path, settings: Settings, dataset: datasets.Dataset) -> bool:
    """Whether what is in the folder can become the classifier: nothing, or the same, begun."""
    if not saved_steps(folder):
        return True
    try:
        begun = read_run(folder)
        compare.check_resumable(begun.settings, settings)
        identity.check_same(begun.hashes, identity.hashes(dataset), settings.data)
    except UserError:  # of another number of devices, or beside other images for validation
        return False
    return True


def _train(settings: Settings, folder: pathlib.Path) -> None:
    progress = Progress("features of FID", settings.train.steps, enabled=parallel.is_writer())
    dataset = datasets.load(settings.data)
    with contextlib.ExitStack() as stack:
        stack.enter_context(progress)
        waited = True
        if parallel.is_writer():
            _prepare(folder)
            try:
                stack.enter_context(files.lock(folder, wait=True))
            except Interrupted:
                waited = False
        if parallel.agreed(not waited):
            raise interruption.stopped(f", waiting for {folder}")
        if _finished(folder) is not None:  # another job has made it meanwhile
            return
        useless = (folder / DONE).exists() or not _goes_on(folder, settings, dataset)
        if parallel.is_writer() and useless:
            files.clear(folder)  # only a cache
        parallel.agreed(False)  # all wait for that
        progress.say(f"training a classifier for the features of FID in {folder}")
        fit(settings, folder, dataset, progress)
        if parallel.is_writer():
            files.write_json(folder / DONE, {"steps": settings.train.steps})
