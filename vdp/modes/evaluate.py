"""`--mode=eval`: evaluates one checkpoint of a run and says what came out."""

import pathlib
from typing import Any

from vdp import build, classifier, config
from vdp.cards import write
from vdp.data import datasets, identity
from vdp.evaluation import estimators, features, index, naming, report, resume, values
from vdp.evaluation.evaluate import evaluate as numbers_of
from vdp.pictures import sample
from vdp.run import Run, restore
from vdp.runtime import files, parallel
from vdp.settings import Settings, compare
from vdp.types import Generative, Model


def main(settings: Settings, workdir: pathlib.Path) -> None:
    """Evaluates `eval.checkpoint` of the run in `workdir`.

    Args:
      settings: the run's own, with other `data`, `eval` or `sample`.
      workdir: of the run.

    Raises:
      UserError: anything the user can mend.
    """
    record = config.read_run(workdir)
    compare.check_same_run(record.settings, settings)
    run = restore(settings, record, settings.eval.checkpoint)
    earlier = record.settings.eval.estimators  # of a version that left out what there was not
    estimators.check(set(settings.eval.estimators).difference(earlier), run.model)
    build.check_sampler(run.model, settings.sample.options())
    dataset = identity.load(
        settings.data, run.facts, trained=record.settings.data, stored=record.hashes
    )
    result, path = evaluate(run, record.workdir, dataset)
    if parallel.is_writer():
        print("\n".join([*report.in_words(result), str(path), *report.warnings(result)]))


def evaluate(
    run: Run[Model], workdir: pathlib.Path, dataset: datasets.Dataset
) -> tuple[dict[str, Any], pathlib.Path]:
    """Evaluates a checkpoint, writes the result, the list of all results of the run, and its card.

    Estimates that the file held and that are not asked for now stay in it, under "earlier".

    Args:
      run: the checkpoint.
      workdir: of the run.
      dataset: of `run.settings.data`.

    Returns:
      (what the file holds, its path).
    """
    space = None
    if "fid" in run.settings.eval.estimators and isinstance(run.model, Generative):
        trained = lambda: classifier.trained(run.settings, dataset)
        space = features.named(run.settings, dataset, trained)  # what is missing stops here
    result, each = numbers_of(run, workdir, dataset, space)
    path = workdir / naming.file_name(run.trained, run.settings)
    result = index.with_earlier(result, index.read(path))
    if parallel.is_writer():
        sample.write_latent_bars(run, workdir, result)
        values.write(path, each, result.get("earlier") or {})
        files.write_json(path, result)
        index.write(workdir)
    resume.Unfinished(run, workdir).remove()
    if parallel.is_writer():
        write.card(workdir)
    return result, path
