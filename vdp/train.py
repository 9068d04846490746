"""Trains a run and evaluates it: what `--mode=train` does."""

import contextlib
import pathlib
import signal
import time

from vdp import evaluate, features, parallel, sample
from vdp import workdir as files
from vdp.data import load as data_load
from vdp.errors import Interrupted, UserError
from vdp.fit import check, fit
from vdp.report import Progress, duration
from vdp.run import restore


def train(config, workdir: pathlib.Path) -> dict | None:
    """Trains, or continues, the run in `workdir` and evaluates it.

    Args:
      config: the full config.
      workdir: created where needed; locked while this runs.

    Returns:
      The evaluation of the best checkpoint on the test split.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    if not parallel.is_writer():
        return _train(config, workdir)
    files.prepare(workdir)
    with files.lock(workdir):
        try:
            return _train(config, workdir)
        except UserError:
            files.leave_nothing(workdir)
            raise


def _train(config, workdir: pathlib.Path) -> dict | None:
    started = time.perf_counter()
    check(config)
    evaluate.check(config.eval)
    progress = Progress("training", config.train.steps, enabled=parallel.is_writer())
    try:
        dataset = data_load.load(config.data)
        if "fid" in config.eval.estimators:
            features.check(config, dataset)
        fit(config, workdir, dataset, progress)
        progress.close()
        with _stopped_by_sigterm():
            return _finish(config, workdir, dataset, progress, started)
    finally:
        progress.close()


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


def _finish(config, workdir, dataset, progress, started) -> dict | None:
    path = workdir / "eval.json"
    final = config.copy_and_resolve_references()
    final.eval.checkpoint, final.eval.split = "best", "test"
    trained = restore(final, workdir, "best")
    sample.write_curves(trained, workdir)
    if path.exists():
        result = files.read_json(path, path.name)
        if result.get("step") == trained.step:
            _say(result, progress)
            progress.say(f"{path} is there: nothing left to do")
            return result
    sample.write_all(trained, workdir / "samples", dataset)
    result = evaluate.evaluate(trained, workdir, dataset)
    _say(result, progress)
    elapsed = duration(time.perf_counter() - started)
    progress.say(f"done in {elapsed}: {path}, {workdir / 'samples'}, {workdir / 'plots'}")
    return result


def _say(result: dict, progress: Progress) -> None:
    for line in evaluate.describe_result(result):
        progress.say(line)
