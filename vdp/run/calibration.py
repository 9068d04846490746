"""What the chain of a diffusion prior is fitted to: its denoiser's errors on training images.

They are measured once for a checkpoint, on images of the training split alone, and kept beside it
in `calibration/STEP.npz`: {"gamma" [M + 1], "square" [M + 1, *s], "num"} as `vdp.diffusion.chains`
has them. One table serves chains of every T.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from vdp.data import datasets
from vdp.diffusion.chains import FITTED
from vdp.errors import UserError
from vdp.metrics import per_batch
from vdp.priors.diffusion import DiffusionPrior
from vdp.run.opened import M, Run
from vdp.runtime import npz, parallel
from vdp.types import Fittable, Stats

FOLDER = "calibration"  # in the run's
IMAGES = 2048  # at most that many, the first of the training split
TIMES = 64  # M
Table = Mapping[str, np.ndarray]


def path_of(workdir: pathlib.Path, step: int) -> pathlib.Path:
    """Where the table of a checkpoint is kept."""
    return workdir / FOLDER / f"{step}.npz"


def wanted(run: Run[M]) -> bool:
    """Whether the run has a chain, and one that is fitted is asked for."""
    prior = getattr(run.model, "prior", None)
    if not isinstance(run.model, Fittable) or not isinstance(prior, DiffusionPrior):
        return False
    return prior.reverse != "learned" and run.settings.eval.reverse in FITTED


def restored(run: Run[M], workdir: pathlib.Path) -> Run[M]:
    """The run with its chain fitted to the table that is kept, or as it is where there is none.

    Raises:
      UserError: the table is damaged, or of other latents.
    """
    if not wanted(run):
        return run
    table = _read(path_of(workdir, run.step))
    return run if table is None else _fitted(run, table)


def ensured(run: Run[M], workdir: pathlib.Path, dataset: datasets.Dataset) -> Run[M]:
    """The run with its chain fitted, to a table that is measured and kept where there is none.

    Args:
      run: a checkpoint, of `vdp.run.restore`.
      workdir: of the run.
      dataset: its images.
    """
    if not wanted(run) or "errors" in run.stats["prior"]:
        return run
    table = measured(run, dataset)
    if parallel.is_writer():
        path = path_of(workdir, run.step)
        path.parent.mkdir(parents=True, exist_ok=True)
        npz.write(path, table)
    return _fitted(run, table)


def measured(run: Run[M], dataset: datasets.Dataset) -> Table:
    """The table of a checkpoint on images of the training split."""
    most = min(IMAGES, run.settings.eval.max_examples or IMAGES)
    split = dataset.splits["train"].take(slice(most))
    target, inputs = datasets.fixed_images(split, run.facts, run.settings.data)
    arrays = (target, inputs, split.labels)
    total, num, gamma = np.float64(0), 0, np.zeros(0)
    for batch in run.each(per_batch.errors, arrays, num=TIMES):
        total = total + batch["square"].sum(0, dtype=np.float64)
        num, gamma = num + len(batch["square"]), batch["gamma"][0]
    square = np.asarray(total / num, np.float32)
    if not np.all(np.isfinite(square)):
        raise UserError(f"the denoiser is not finite: the checkpoint {run.step} diverged")
    return {"gamma": gamma, "square": square, "num": np.asarray(num)}


def as_trained(stats: Stats) -> Stats:
    """The stats of a model without the table."""
    if "errors" not in stats.get("prior", {}):
        return stats
    return stats | {"prior": {k: v for k, v in stats["prior"].items() if k != "errors"}}


def _fitted(run: Run[M], table: Table) -> Run[M]:
    errors = {name: np.asarray(table[name], np.float32) for name in ("gamma", "square")}
    stats = run.stats | {"prior": run.stats["prior"] | {"errors": errors}}
    assert isinstance(run.model, Fittable)
    model = run.model.fitted(run.settings.eval.reverse)
    return dataclasses.replace(run, model=model, stats=stats)  # type: ignore[arg-type]


def _read(path: pathlib.Path) -> Table | None:
    """A table that is kept; None where there is none; UserError where it is no table."""
    table = npz.read(path)
    if table == {}:
        return None
    if table is None or not {"gamma", "square"} <= set(table):
        raise UserError(f"{path} is damaged: remove it, and evaluate the run again")
    return table
