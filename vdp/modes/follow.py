"""The checkpoints of a run while it is trained, as they appear: for `--mode=eval --follow`."""

import pathlib
import time
from collections.abc import Iterator

from vdp.runtime import files, interruption
from vdp.training.checkpoint import FOLDER, saved_steps
from vdp.training.storage import REPLACED

SECONDS = 5.0  # between two looks at the folder
GRAIN = 2.0  # s by which file systems may round the times of files


def checkpoints(folder: pathlib.Path) -> Iterator[int]:
    """Yields the step of the newest checkpoint whenever there is a new one, until nobody trains.

    Args:
      folder: of the run.

    Raises:
      Interrupted: after a signal.
    """
    done = -1
    while True:
        trained = files.in_use(folder)  # before the look, so that the last checkpoint is seen
        newest = max(saved_steps(folder), default=-1)
        if newest > done:
            done = newest
            yield newest
        elif trained:
            interruption.check("; the evaluations that are finished are written")
            time.sleep(SECONDS)
        else:
            return


def written_since(folder: pathlib.Path, step: int, moment: float) -> bool:
    """Whether a checkpoint was written anew, as training does where it owed it a score.

    Waits until its successor is there.

    Args:
      folder: of the run.
      step: of the checkpoint.
      moment: as of `time.time`.

    Raises:
      Interrupted: after a signal.
    """
    place = folder / FOLDER / str(step)
    while place.with_name(f"{REPLACED}{step}").exists() and files.in_use(folder):
        interruption.check("; the evaluations that are finished are written")
        time.sleep(SECONDS)
    return place.exists() and place.stat().st_mtime > moment - GRAIN
