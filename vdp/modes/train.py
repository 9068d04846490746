"""`--mode=train`: trains, or continues, the run in a workdir, and evaluates it."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vdp import build, config, run
from vdp.data import datasets, identity
from vdp.errors import UserError
from vdp.evaluation import estimators, features, report, resume
from vdp.metrics.batched import Batched
from vdp.modes import evaluate
from vdp.pictures import sample
from vdp.runtime import files, interruption, parallel
from vdp.runtime.progress import Progress, duration
from vdp.settings import Settings, compare
from vdp.training import checkpoint, first_stage, profile
from vdp.training.fit import check_batch_sizes, fit
from vdp.training.state import Evaluated, State
from vdp.types import Generative, Model

PREVIEW = 36  # samples in the picture of each validation
FOLDERS = (checkpoint.FOLDER, profile.FOLDER, resume.FOLDER, "samples", "plots", "tensorboard")


def main(settings: Settings, workdir: pathlib.Path) -> dict[str, Any] | None:
    """Trains, or continues, the run in `workdir` and evaluates it.

    Args:
      settings: of the run.
      workdir: created where needed; locked while this runs.

    Returns:
      The evaluation of the best checkpoint on the test split.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    workdir = files.located(workdir)
    if not parallel.is_writer():
        return train_and_evaluate(settings, workdir)
    with files.opened(workdir, in_use=lambda: bool(checkpoint.saved_steps(workdir))):
        return train_and_evaluate(settings, workdir)


def train_and_evaluate(settings: Settings, workdir: pathlib.Path) -> dict[str, Any]:
    """As of `main`, in a workdir that is prepared and locked."""
    started = time.perf_counter()
    progress = Progress("training", settings.train.steps, enabled=parallel.is_writer())
    try:
        check_batch_sizes(settings)
        for name in FOLDERS:
            files.check_folder(workdir / name)
        dataset = datasets.load(settings.data)
        interruption.check()
        model = build.assemble(settings.model, dataset.facts)
        estimators.check(settings.eval.estimators, model)
        build.check_sampler(model, settings.sample.options())
        if "fid" in settings.eval.estimators:
            features.check(settings, dataset)
        start_from, preview = _start(settings, dataset), _preview(settings, workdir, dataset)
        fit(settings, workdir, dataset, progress, start_from=start_from, on_validation=preview)
        progress.close()
        return _evaluate(settings, workdir, dataset, progress, started)
    finally:
        progress.close()


def _start(settings: Settings, dataset: datasets.Dataset) -> Callable[[State], State]:
    """What becomes of a new state: itself, or with the encoder and decoder of a first stage."""
    if not settings.train.init_from:
        return lambda start: start
    first = run.load(settings.train.init_from)
    same_images = first.facts == dataset.facts
    if compare.same_images(first.trained.data, settings.data):
        changed = identity.changed(first.hashes, identity.hashes(dataset))
        same_images = same_images and not changed
    first_stage.check(settings, first.settings, same_images=same_images)
    evaluated = Evaluated(step=jnp.int32(first.step), ema=first.params, ema_stats=first.stats)

    def start_from(start: State) -> State:
        return first_stage.take(start, evaluated)

    return start_from


def _preview(
    settings: Settings, workdir: pathlib.Path, dataset: datasets.Dataset
) -> Callable[[Model, Evaluated], None]:
    """What draws some samples at every validation."""
    small = settings.replace(sample=dict(num=PREVIEW))
    batched = Batched(parallel.make_mesh(), settings.eval.batch_size, settings.eval.seed)

    def draw(model: Model, evaluated: Evaluated) -> None:
        if isinstance(model, Generative):
            opened = run.Run(
                settings=small,
                model=model,
                params=evaluated.ema,
                stats=evaluated.ema_stats,
                step=int(evaluated.step),
                facts=dataset.facts,
                batched=batched,
                trained=settings,
            )
            sample.write_samples(opened, workdir / "samples", name=f"step-{opened.step:07d}")

    return draw


def _evaluate(
    settings: Settings,
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    progress: Progress,
    started: float,
) -> dict[str, Any]:
    path = workdir / "eval.json"
    final = settings.replace(eval=dict(checkpoint="best", split="test"))
    trained = run.restore(final, config.read_run(workdir), "best")
    sample.write_curves(trained, workdir)
    earlier = _earlier(path, progress)
    if earlier is not None and earlier[0].get("step") == trained.step:
        _say(earlier[1], progress)
        progress.say(f"{path} is there: nothing left to do")
        return earlier[0]
    sample.write_all(trained, workdir / "samples", dataset)
    result, _ = evaluate.evaluate(trained, workdir, dataset)
    _say(report.in_words(result), progress)
    elapsed = duration(time.perf_counter() - started)
    progress.say(f"done in {elapsed}: {path}, {workdir / 'samples'}, {workdir / 'plots'}")
    return result


def _earlier(path: pathlib.Path, progress: Progress) -> tuple[dict[str, Any], list[str]] | None:
    """(the result of an evaluation, in words) that is there; what is none is moved away."""
    if not path.exists():
        return None
    try:
        result = files.read_json(path, path.name)
        return result, report.in_words(result)
    except (UserError, AttributeError, LookupError, TypeError, ValueError):
        if parallel.is_writer():
            aside = files.set_aside(path)
            progress.say(f"{path} is no result of an evaluation; moved to {aside.name}")
        return None


def _say(lines: list[str], progress: Progress) -> None:
    for line in lines:
        progress.say(line)
