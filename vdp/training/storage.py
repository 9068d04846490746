"""What vdp needs of Orbax beyond its interface: folders of any name, damaged scores, silence."""

import dataclasses
import logging
import math
import pathlib
import resource
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from etils.epath.gpath import PosixGPath
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from vdp.errors import UserError
from vdp.runtime import files
from vdp.runtime.metric_log import is_finite
from vdp.runtime.progress import in_bytes

SCORE = "metrics"  # Orbax's name for what `best` is chosen by
REPLACED = "replaced-"  # before the step of a checkpoint that is being written anew
ABOUT = "_CHECKPOINT_METADATA"  # Orbax's list of what a checkpoint was saved with


class LiteralPath(PosixGPath):
    """A path whose name means itself: in Orbax's, [, ] and * are patterns in searches below it.

    A checkpoint saved in such a folder would lack the index of its arrays.
    """

    def glob(self, pattern: str) -> Iterator[Self]:
        """The paths below this one that match the pattern."""
        return (type(self)(path) for path in pathlib.Path(self).glob(pattern))


@dataclasses.dataclass
class KeepLost(policy.PreservationPolicy):
    """Keeps the checkpoints whose score is lost: each may be the best.

    Attributes:
      steps: of these checkpoints.
    """

    steps: Set[int]

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: policy.PreservationContext
    ) -> Sequence[bool]:
        """Whether to keep, of each of Orbax's records of a checkpoint."""
        return [checkpoint.step in self.steps for checkpoint in checkpoints]


class Manager(ocp.CheckpointManager):
    """A CheckpointManager that works in any folder, and without scores that cannot be read.

    Args:
      folder: of the checkpoints.
      score_in: from the content of a checkpoint's metrics to its score, higher is better.
      keep_latest: how many are kept besides the best.
      read_only: whether nothing is written.

    Attributes:
      lost: the steps that were saved with a score that is not there, or is no number.

    Raises:
      UserError: what is in the folder is not Orbax's.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        score_in: Callable[[Any], float],
        *,
        keep_latest: int,
        read_only: bool,
    ):
        self.lost: set[int] = set()
        self._score_in = score_in
        self._folder = folder
        best = policy.BestN(
            get_metric_fn=score_in, reverse=False, n=1, keep_checkpoints_without_metrics=False
        )
        keep = [policy.LatestN(max(keep_latest, 1)), best, KeepLost(self.lost)]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=None if read_only else policy.AnyPreservationPolicy(keep),
            best_fn=score_in,
            best_mode="max",
            read_only=read_only,
            create=not read_only,
        )
        try:
            super().__init__(LiteralPath(folder), options=options)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"the checkpoints in {folder} cannot be listed ({cause(error)}): restore them, or "
                "name another workdir"
            ) from error

    def metrics(self, step: int) -> Any:
        """What a checkpoint was saved with to be compared by; None where there is nothing."""
        try:
            content = super().metrics(step)
            scored = content is not None and is_finite(self._score_in(content))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            scored = False
        if scored:
            self.lost.discard(step)
            return content
        if _had_score(self._folder / str(step)):
            self.lost.add(step)
        return None


def _had_score(checkpoint: pathlib.Path) -> bool:
    """Whether a checkpoint was saved with a score, as far as it can still be known."""
    if (checkpoint / SCORE).exists():
        return True
    try:
        return SCORE in files.read_json(checkpoint / ABOUT, ABOUT)["item_handlers"]
    except (UserError, LookupError, TypeError):
        return False


def quiet_orbax(owner: object) -> weakref.finalize:
    """Keeps Orbax's messages, also its threads', out of the log: its errors are raised anyway.

    Returns:
      What ends it when it is called; it ends with the owner at the latest.
    """
    logger = logging.getLogger("absl")

    def others(record: logging.LogRecord) -> bool:
        return "orbax" not in pathlib.PurePath(record.pathname).parts

    logger.addFilter(others)
    return weakref.finalize(owner, logger.removeFilter, others)


def end_replacements(folder: pathlib.Path) -> None:
    """Removes checkpoints that are replaced, and puts back those whose successor never came."""
    for old in folder.glob(f"{REPLACED}*"):
        place = folder / old.name.removeprefix(REPLACED)
        if place.exists():
            shutil.rmtree(old)
        else:
            old.rename(place)


def check_room(folder: pathlib.Path, state: Any) -> None:
    """Refuses to start a save that cannot end: Orbax would fail half-way, and noisily.

    Raises:
      UserError: less can be written than the leaves of `state` take.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = math.inf if soft == resource.RLIM_INFINITY else soft
    free = min(shutil.disk_usage(folder).free, limit)
    if needed > free:
        raise UserError(
            f"the checkpoint needs {in_bytes(needed)} in {folder} and {in_bytes(free)} can be "
            "written: free some space or name another workdir, and run the command "
            "again; earlier checkpoints are intact"
        )


def cause(error: Exception) -> str:
    """The end of an error's first line, where storage libraries name the reason."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if "structures do not match" in first or "is not compatible with the stored shape" in first:
        return "it holds other parameters than this config and this version of vdp have"
    return first if len(first) <= 120 else f"... {first[-120:]}"
