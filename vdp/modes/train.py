"""`--mode=train`: trains, or continues, the run in a workdir, and evaluates it."""

import contextlib
import pathlib
import signal
import time
from typing import Any

import jax.numpy as jnp

from vdp import config, run
from vdp.data import datasets
from vdp.errors import Interrupted, UserError
from vdp.evaluation import features, report
from vdp.metrics.batched import Batched
from vdp.modes import evaluate
from vdp.pictures import sample
from vdp.runtime import files, parallel
from vdp.runtime.progress import Progress, duration
from vdp.settings import Settings
from vdp.training import first_stage
from vdp.training.fit import check_batch_sizes, fit
from vdp.training.state import Evaluated, State
from vdp.types import Generative

PREVIEW = 36  # samples in the picture of each validation


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
    if not parallel.is_writer():
        return train_and_evaluate(settings, workdir)
    files.prepare(workdir)
    with files.lock(workdir):
        try:
            return train_and_evaluate(settings, workdir)
        except UserError:
            files.leave_nothing(workdir)
            raise


def train_and_evaluate(settings: Settings, workdir: pathlib.Path) -> dict[str, Any]:
    """As of `main`, in a workdir that is prepared and locked."""
    started = time.perf_counter()
    progress = Progress("training", settings.train.steps, enabled=parallel.is_writer())
    try:
        check_batch_sizes(settings)
        dataset = datasets.load(settings.data)
        if "fid" in settings.eval.estimators:
            features.check(settings, dataset)
        start_from, preview = _start(settings, dataset), _preview(settings, workdir, dataset)
        fit(settings, workdir, dataset, progress, start_from=start_from, on_validation=preview)
        progress.close()
        with _stopped_by_sigterm():
            return _evaluate(settings, workdir, dataset, progress, started)
    finally:
        progress.close()


def _start(settings: Settings, dataset: datasets.Dataset):
    """What becomes of a new state: itself, or with the encoder and decoder of a first stage."""
    if not settings.train.init_from:
        return lambda start: start
    first = run.load(settings.train.init_from)
    same_images = first.facts == dataset.facts
    first_stage.check(settings, first.settings, same_images=same_images)
    evaluated = Evaluated(step=jnp.int32(first.step), ema=first.params, ema_stats=first.stats)

    def start_from(start: State) -> State:
        return first_stage.take(start, evaluated)

    return start_from


def _preview(settings: Settings, workdir: pathlib.Path, dataset: datasets.Dataset):
    """What draws some samples at every validation."""
    small = settings.replace(sample=dict(num=PREVIEW))
    batched = Batched(parallel.make_mesh(), settings.eval.batch_size, settings.eval.seed)

    def draw(model, evaluated: Evaluated) -> None:
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


@contextlib.contextmanager
def _stopped_by_sigterm():
    """Training is saved: a signal now stops at once."""

    def stop(*_):
        raise Interrupted("stopped by SIGTERM; training is saved, run again to evaluate")

    previous = None
    with contextlib.suppress(ValueError):  # outside the main thread there are no signals
        previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _evaluate(settings, workdir, dataset, progress: Progress, started: float) -> dict[str, Any]:
    path = workdir / "eval.json"
    final = settings.replace(eval=dict(checkpoint="best", split="test"))
    trained = run.restore(final, config.read_run(workdir), "best")
    sample.write_curves(trained, workdir)
    if path.exists():
        result = files.read_json(path, path.name)
        if result.get("step") == trained.step:
            _say(result, progress)
            progress.say(f"{path} is there: nothing left to do")
            return result
    sample.write_all(trained, workdir / "samples", dataset)
    result, _ = evaluate.evaluate(trained, workdir, dataset)
    _say(result, progress)
    elapsed = duration(time.perf_counter() - started)
    progress.say(f"done in {elapsed}: {path}, {workdir / 'samples'}, {workdir / 'plots'}")
    return result


def _say(result: dict[str, Any], progress: Progress) -> None:
    for line in report.in_words(result):
        progress.say(line)
