"""`--mode=eval`: evaluates one checkpoint of a run and says what came out."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

from vdp.cards import write
from vdp.data import datasets, identity
from vdp.errors import UserError
from vdp.evaluation import (
    asked,
    features,
    index,
    naming,
    ood,
    report,
    values,
)
from vdp.evaluation.evaluate import evaluate as numbers_of
from vdp.modes.follow import checkpoints, written_since
from vdp.pictures import convergence, histograms, sample
from vdp.record import ELSEWHERE, PLOTS, read_run
from vdp.run import Run, calibration, record_of, restore
from vdp.runtime import files, parallel, sources
from vdp.settings import Settings
from vdp.training import fingerprint
from vdp.training.checkpoint import saved_steps
from vdp.types import Arrays, Classifying, Generative, Model


def main(settings: Settings, workdir: pathlib.Path, *, follow: bool = False) -> None:
    """Evaluates `eval.checkpoint` of the run in `workdir`.

    Args:
      settings: the run's own, with other `data`, `eval` or `sample`.
      workdir: of the run.
      follow: whether the newest checkpoint is evaluated again and again, into a file of its own,
        until nobody trains there. One that training removes in the meantime is left out.

    Raises:
      UserError: anything the user can mend.
      Interrupted: after a signal, where checkpoints are followed.
    """
    if not follow:
        evaluate_one(settings, workdir)
        return
    if jax.process_count() > 1:
        raise UserError("--follow is of one process: leave --multihost out")
    folder = read_run(workdir).workdir
    for step in checkpoints(folder):
        chosen, started = settings.replace(eval=dict(checkpoint=str(step))), time.time()
        try:
            evaluate_one(chosen, workdir)
        except UserError as error:
            if written_since(folder, step, started):
                evaluate_one(chosen, workdir)
            elif step in saved_steps(folder):
                raise
            else:
                print(f"checkpoint {step}, which is removed by now, was left out: {error}")
    print(f"nobody trains in {folder}: the checkpoints that were seen are evaluated")


def evaluate_one(settings: Settings, workdir: pathlib.Path) -> None:
    """As `main`, of one checkpoint."""
    record = record_of(workdir, settings)
    if parallel.is_writer():
        # before the work, whose numbers are written there
        files.prepare(record.workdir, mend=ELSEWHERE)
    run = restore(settings, record, settings.eval.checkpoint)
    earlier = record.settings.eval.estimators  # of a version that left out what there was not
    dataset = identity.load(
        settings.data, run.facts, trained=record.settings.data, stored=record.hashes
    )
    if isinstance(run.model, Classifying):
        identity.check_classes(dataset.facts, run.facts, name=settings.data.name)
    others = asked.check(settings, run.model, dataset, known=earlier)
    result, path = evaluate(run, record.workdir, dataset, others)
    if parallel.is_writer():
        print("\n".join([*report.in_words(result), str(path), *report.warnings(result)]))


def evaluate(
    run: Run[Model],
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    others: Mapping[str, Arrays] | None = None,
    as_trained: bool = False,
) -> tuple[dict[str, Any], pathlib.Path]:
    """Evaluates a checkpoint, writes the result, the list of all results of the run, and its card.

    Estimates that the file held and that are not asked for now stay in it, under "earlier".

    Args:
      run: the checkpoint.
      workdir: of the run.
      dataset: of `run.settings.data`.
      others: images of `eval.ood`; None: they are loaded here.
      as_trained: whether this process has trained the run, with components as they were then.

    Returns:
      (what the file holds, its path).
    """
    others = ood.load(run.settings, run.facts, run.model) if others is None else others
    run = calibration.ensured(run, workdir, dataset)
    space = None
    if run.settings.eval.wants_features and isinstance(run.model, Generative):
        space = features.named(run.settings, dataset)
    found = numbers_of(run, workdir, dataset, space, others)
    path = workdir / naming.file_name(run.trained, run.settings)
    before = None if values.of_others(path, found.values) else index.read(path)
    about = {
        "weights": fingerprint.digest(run.params),
        "components": sources.in_use(run.settings.model),
        "edited_sources": None if as_trained else sources.changed_names(workdir) or None,
    }
    result = index.with_earlier(found.result | about, before)
    if parallel.is_writer():
        values.write(path, found.values, result.get("earlier") or {})
        files.write_json(path, result)
        index.write(workdir)
        suffix = path.stem.removeprefix("eval")
        sample.write_latent_bars(run, workdir, result, suffix)
        _draw(run.settings, path, result, found.compared)
    found.kept.remove()
    if parallel.is_writer():
        write.card(workdir)
    return result, path


def _draw(
    settings: Settings,
    path: pathlib.Path,
    result: Mapping[str, Any],
    compared: Mapping[str, ood.Compared],
) -> None:
    """Writes the pictures of a result at `path` into `plots` beside it."""
    plots, formats = path.parent / PLOTS, settings.log.figures
    for name, scores in compared.items():
        histograms.save(plots / histograms.file_name(name, path), name, scores, formats=formats)
    suffix = path.stem.removeprefix("eval")
    for name in settings.eval.convergence:
        convergence.write(path.parent, result, name, suffix=suffix, formats=formats)
