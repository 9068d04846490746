"""What an evaluation that was stopped has computed, kept in the workdir to go on from.

A result depends on the checkpoint, the settings, the code, the images and the place of its batch
alone: what is kept is what would be computed again. Every process keeps its own, for all of them
hold all results.
"""

import contextlib
import json
import pathlib
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np

from vdp import __version__
from vdp.run import Run
from vdp.runtime import hashes, npz, parallel, sources
from vdp.settings import compare
from vdp.settings.parse import to_json
from vdp.types import Arrays, Model

FOLDER = "unfinished"
SECONDS = 10.0  # of work that may be lost; an estimator that takes less writes nothing
SPENT = "seconds spent"


class Unfinished:
    """The rows of one evaluation, in a folder that its fingerprint names.

    Args:
      run: the checkpoint with the settings.
      workdir: where the folder `unfinished` is.
      arrays: (target, input, labels) of the images.
    """

    def __init__(self, run: Run[Model], workdir: pathlib.Path, arrays: Arrays) -> None:
        name = _fingerprint(run, arrays)[:32]
        self._folder = pathlib.Path(workdir) / FOLDER / name / str(jax.process_index())

    def rows(self, name: str) -> "Rows":
        """The rows of one estimator."""
        return Rows(self._folder / name)

    def remove(self) -> None:
        """Called when the result is there."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # absent, or others' are in them
            self._folder.parent.rmdir()
            self._folder.parent.parent.rmdir()


class Rows:
    """Results of examples 0 to n, {name: [n, ...]}, a file for every stretch of them.

    Attributes:
      seconds: how long what was read took to compute.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder, self._clock = folder, time.monotonic()
        self._pending: list[dict[str, np.ndarray]] = []
        self._end = 0
        self.seconds = 0.0

    def read(self) -> dict[str, np.ndarray]:
        """What is kept, as far as all processes have it; {} where nothing is."""
        parts: list[dict[str, np.ndarray]] = []
        end = 0
        while (stretch := _read(self._path(end))) and _follows(stretch[0], parts):
            self.seconds += stretch[1]
            parts.append(stretch[0])
            end += _length(stretch[0])
        self._end = parallel.least(end)
        if not self._end:
            return {}
        rows = {name: array[: self._end] for name, array in _joined(parts).items()}
        if self._end < end:  # the next stretch follows on this one
            self._write(0, rows, self.seconds)
        return rows

    def add(self, rows: dict[str, np.ndarray]) -> None:
        """Takes the results of the next batch; written when there are some seconds of them."""
        self._pending.append(rows)
        spent = time.monotonic() - self._clock
        if spent >= SECONDS:
            joined = _joined(self._pending)
            self._write(self._end, joined, spent)
            self._end += _length(joined)
            self._pending, self._clock = [], time.monotonic()

    def _path(self, start: int) -> pathlib.Path:
        return self._folder / f"{start}.npz"

    def _write(self, start: int, rows: dict[str, np.ndarray], spent: float) -> None:
        npz.write(self._path(start), {**rows, SPENT: spent})


def _length(rows: dict[str, np.ndarray]) -> int:
    return len(next(iter(rows.values())))


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], float] | None:
    """(rows, the seconds spent on them) of a file; None where it is absent or damaged."""
    rows = npz.read(path) or {}
    spent = rows.pop(SPENT, np.zeros(1))
    lengths = {len(array) if array.ndim else 0 for array in rows.values()}
    if spent.shape or spent.dtype.kind != "f" or len(lengths) != 1 or not all(lengths):
        return None
    return rows, float(spent)


def _follows(rows: dict[str, np.ndarray], parts: list[dict[str, np.ndarray]]) -> bool:
    """Whether rows can be joined with the parts before them."""
    kinds = [{n: (a.dtype, a.shape[1:]) for n, a in part.items()} for part in (rows, *parts[:1])]
    return kinds[0] == kinds[-1]


def _fingerprint(run: Run[Model], images: Arrays) -> str:
    settings = to_json(run.settings)
    for field in ("estimators", "probe", "ood", "convergence"):  # rows are the same beside others
        del settings["eval"][field]
    for section in ("log", "checkpoint", "describe", "codec"):
        del settings[section]
    for place in compare.PLACES:
        del settings["data"][place]
    for field in compare.WHERE:
        del settings["train"][field]
    leaves = map(jnp.asarray, jax.tree.leaves((run.params, run.stats)))
    arrays = (np.asarray(x if x.is_fully_addressable else x.addressable_data(0)) for x in leaves)
    code = __version__, sources.in_use(run.settings.model)
    return hashes.digest(*code, json.dumps(settings, sort_keys=True), *arrays, *images)
