"""`--mode=eval --follow`: evaluates checkpoints of a run while it is trained, as they appear."""

import pathlib
import time
from collections.abc import Callable

import jax

from vdp import config
from vdp.errors import UserError
from vdp.runtime import files, interruption
from vdp.settings import Settings
from vdp.training.checkpoint import saved_steps

SECONDS = 5.0  # between two looks at the folder


def main(
    settings: Settings, workdir: pathlib.Path, evaluate: Callable[[Settings, pathlib.Path], None]
) -> None:
    """Evaluates the newest checkpoint again and again, until nobody trains and none is new.

    Each gets a file of its own, eval-STEP-SPLIT.json. A checkpoint that training has removed in
    the meantime is left out.

    Args:
      settings: the run's own, with other `data` or `eval`; `eval.checkpoint` is not looked at.
      workdir: of the run.
      evaluate: evaluates the checkpoint that its settings name.

    Raises:
      UserError: as of `evaluate`, or there are several processes.
      Interrupted: after a signal.
    """
    if jax.process_count() > 1:
        raise UserError("--follow is of one process: leave --multihost out")
    folder = config.read_run(workdir).workdir
    done = -1
    while True:
        trained = files.in_use(folder)  # asked first, so that the last save is seen
        newest = max(saved_steps(folder), default=-1)
        if newest > done:
            done = newest
            _evaluate(settings, folder, newest, evaluate)
            continue
        if not trained:
            break
        interruption.check("; the evaluations that are finished are written")
        time.sleep(SECONDS)
    print(f"nobody trains in {folder}: the checkpoints that were seen are evaluated")


def _evaluate(
    settings: Settings,
    folder: pathlib.Path,
    step: int,
    evaluate: Callable[[Settings, pathlib.Path], None],
) -> None:
    try:
        evaluate(settings.replace(eval=dict(checkpoint=str(step))), folder)
    except UserError:
        if step in saved_steps(folder):
            raise
        print(f"checkpoint {step} was removed before it was read")
