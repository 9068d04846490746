"""`--mode=train`: trains, or continues, the run in a workdir, and evaluates it."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from vdp import build, run
from vdp.cards import write
from vdp.data import datasets, identity
from vdp.evaluation import asked, classifier, index, naming, report, resume, validations
from vdp.metrics.batched import Batched
from vdp.modes import evaluate, leftovers
from vdp.pictures import sample
from vdp.record import (
    DAMAGED,
    PLOTS,
    PREVIEW,
    RESULT,
    RUN_FILE,
    SAMPLES,
    read_run,
    write_eval,
)
from vdp.run import calibration, students, weights
from vdp.runtime import files, interruption, parallel, sinks, sources, wandb_sink
from vdp.runtime.metric_log import METRICS_FILE, train_seconds
from vdp.runtime.progress import Progress, duration
from vdp.settings import Settings, compare, epochs, notes
from vdp.training import checkpoint, fingerprint, first_stage, profile
from vdp.training.fit import check_batch_sizes, fit
from vdp.training.state import Evaluated, State
from vdp.types import Generative, Model

PREVIEWED = 36  # samples in the picture of each validation
FOLDERS = (
    checkpoint.FOLDER, profile.FOLDER, resume.FOLDER, sinks.EVENTS_FOLDER, wandb_sink.FOLDER,
    calibration.FOLDER, SAMPLES, PLOTS,
)  # fmt: skip


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
    weights.check_trainable(workdir)
    if not parallel.is_writer():
        return train_and_evaluate(settings, workdir)
    made = (*FOLDERS, sources.FOLDER, RUN_FILE, METRICS_FILE, wandb_sink.ID_FILE)
    in_use = lambda: bool(checkpoint.saved_steps(workdir))
    with files.opened(workdir, made=made, in_use=in_use):
        return train_and_evaluate(settings, workdir)


def train_and_evaluate(settings: Settings, workdir: pathlib.Path) -> dict[str, Any]:
    """As of `main`, in a workdir that is prepared and locked."""
    started = time.perf_counter()
    check_batch_sizes(settings)
    wandb_sink.check(settings.log.wandb)
    for name in FOLDERS:
        files.check_folder(workdir / name)
    dataset = datasets.load(settings.data)
    interruption.check()
    given = epochs.resolve(settings, len(dataset.splits["train"]))
    if checkpoint.saved_steps(workdir) and (workdir / RUN_FILE).exists():
        given = compare.with_warmups_of(read_run(workdir).settings, given)
    settings = first_stage.without_warmup(given)
    progress = Progress("training", settings.train.steps, enabled=parallel.is_writer())
    try:
        model = build.assemble(settings.model, dataset.facts)
        asked.check(settings.replace(eval=dict(split="test")), model, dataset)
        fit(
            settings,
            workdir,
            dataset,
            progress,
            start_from=_start(given, model, dataset, workdir, progress),
            on_start=lambda: _begin(settings, model, dataset, workdir, progress),
            on_validation=_preview(settings, workdir, dataset),
        )
        progress.close()
        return _evaluate(settings, workdir, dataset, progress, started)
    finally:
        progress.close()


def _begin(
    settings: Settings,
    model: Model,
    dataset: datasets.Dataset,
    workdir: pathlib.Path,
    progress: Progress,
) -> None:
    """What comes before the first step of a start: what a run says of its config, and a last check.

    Numbers that lie in the folder of a new run are of checkpoints that are no more.

    Raises:
      UserError: the classifier that FID needs in the end could not be kept.
    """
    if settings.eval.wants_features and isinstance(model, Generative):
        classifier.check_place(settings, dataset)
    if not checkpoint.saved_steps(workdir):
        for path in leftovers.of(workdir) if parallel.is_writer() else ():
            aside = files.set_aside(path)
            progress.say(f"{path.name} is of an earlier training: moved to {aside.name}")
        _say(notes.in_words(settings), progress)
    images = len(dataset.splits["train"])
    idle = notes.of_what_does_nothing(settings, len(dataset.splits["validation"]))
    chain = notes.of_validations(settings, calibration.own_chain(model))
    _say([*notes.of_warmups(settings), *notes.of_batch(settings, images), *idle, *chain], progress)


def _start(
    settings: Settings,
    model: Model,
    dataset: datasets.Dataset,
    workdir: pathlib.Path,
    progress: Progress,
) -> Callable[[State], State]:
    """What becomes of a new state: itself, or with what is taken of the run in train.init_from."""
    if checkpoint.saved_steps(workdir):
        return lambda start: start  # the run goes on: no state is new
    if not settings.train.init_from:
        students.check(model, settings.train, has_teacher=False)
        return lambda start: start
    first = run.open_quietly(settings.train.init_from)
    changed = identity.changed(first.hashes, identity.hashes(dataset))
    # a run of a version that kept no hashes is known by its settings
    same = not changed if first.hashes else compare.same_images(first.trained.data, settings.data)
    stats = calibration.as_trained(first.stats)
    evaluated = Evaluated(step=jnp.int32(first.step), ema=first.params, ema_stats=stats)
    other = first_stage.Other(
        settings=first.trained,
        facts=first.facts,
        evaluated=evaluated,
        same_images=same and first.facts == dataset.facts,
        changed=changed,
    )
    taken = first_stage.plan(settings, other, dataset.facts)
    students.check(model, settings.train, has_teacher="prior" in taken.roles)
    if "prior" in taken.roles:
        params, stats = students.start(first, model, dataset)
        evaluated = dataclasses.replace(evaluated, ema=params, ema_stats=stats)

    def start_from(start: State) -> State:
        new = first_stage.take(start, evaluated, taken.roles)
        progress.say(first_stage.in_words(settings, taken, other))
        return new

    return start_from


def _preview(
    settings: Settings, workdir: pathlib.Path, dataset: datasets.Dataset
) -> Callable[[Model, Evaluated], Sequence[pathlib.Path]]:
    """What draws some samples at every validation, and returns where the PNG file is."""
    small = settings.replace(sample=dict(num=PREVIEWED))
    batched = Batched(parallel.make_mesh(), settings.eval.batch_size, settings.eval.seed)

    def draw(model: Model, evaluated: Evaluated) -> Sequence[pathlib.Path]:
        if not isinstance(model, Generative):
            return ()
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
        name = f"{PREVIEW}{opened.step:07d}"
        written = sample.write_samples(opened, workdir / SAMPLES, name=name)
        return [path for path in written if path.suffix == ".png"]

    return draw


def _evaluate(
    settings: Settings,
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    progress: Progress,
    started: float,
) -> dict[str, Any]:
    path = workdir / RESULT
    final = settings.replace(eval=dict(checkpoint="best", split="test"))
    trained = run.restore(final, read_run(workdir), "best")
    sample.write_curves(trained, workdir)
    if trained.step == 0 and checkpoint.saved_steps(workdir)[-1]:
        progress.say("best is the start: training has not improved it")
    earlier = _earlier(path, progress)
    now = trained.step, fingerprint.digest(trained.params), sources.in_use(settings.model)
    of_these = earlier is not None and naming.is_of(earlier[0], *now)
    answered = earlier is not None and of_these and naming.answered(earlier[0], final)
    if not parallel.agreed(not answered) and earlier is not None:  # all end here, or none
        _say(earlier[1], progress)
        result = _ended(trained, workdir, dataset, earlier[0])
        progress.say(f"{path} is there: nothing left to do")
        _say(report.warnings(result), progress)
        return result
    own = dataclasses.asdict(settings.eval)
    trained = dataclasses.replace(trained, trained=trained.trained.replace(eval=own))
    if parallel.is_writer():
        write_eval(workdir, settings)
    trained = calibration.ensured(trained, workdir, dataset)
    _draw(trained, workdir, dataset)
    result, _ = evaluate.evaluate(trained, workdir, dataset, as_trained=True)
    _say(report.in_words(result), progress)
    elapsed = duration(time.perf_counter() - started)
    places = (workdir / write.CARD, path, workdir / SAMPLES, workdir / PLOTS)
    progress.say(f"done in {elapsed}: {', '.join(map(str, places))}")
    _say(report.warnings(result), progress)
    return result


def _draw(
    trained: run.Run[Model], workdir: pathlib.Path, dataset: datasets.Dataset
) -> list[pathlib.Path]:
    """Writes all pictures of a run that has ended, and what they are of."""
    sample.write_settings(trained, workdir / SAMPLES, drawn=False)
    written = sample.write_all(trained, workdir / SAMPLES, dataset)
    sample.write_settings(trained, workdir / SAMPLES)
    return written


def _ended(
    trained: run.Run[Model],
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    result: dict[str, Any],
) -> dict[str, Any]:
    """The result of an evaluation from before the end of training, as it is after it."""
    among = validations.among(trained, workdir)
    changed = among != result.get("validations")
    if changed:
        spent = train_seconds(workdir / METRICS_FILE)
        total = None if spent is None else round(spent, 3)
        result = result | {"validations": among, "train_seconds_total": total}
    written: list[pathlib.Path] = []
    there = sample.are_there(trained, workdir / SAMPLES)
    if not parallel.least(int(there)):  # drawn by all processes, or by none
        whole = calibration.ensured(trained, workdir, dataset)
        written = _draw(whole, workdir, dataset)
    if parallel.is_writer() and changed:
        files.write_json(workdir / RESULT, result)
        index.write(workdir)
    if parallel.is_writer() and (changed or written or not (workdir / write.CARD).exists()):
        write.card(workdir)
    return result


def _earlier(path: pathlib.Path, progress: Progress) -> tuple[dict[str, Any], list[str]] | None:
    """(the result of an evaluation, in words) that is there; what is none is moved away."""
    if not path.exists():
        return None
    try:
        result = files.read_json(path, path.name)
        return result, report.in_words(result)
    except DAMAGED:
        if parallel.is_writer():
            aside = files.set_aside(path)
            progress.say(f"{path} is no result of an evaluation; moved to {aside.name}")
        return None


def _say(lines: list[str], progress: Progress) -> None:
    for line in lines:
        progress.say(line)
