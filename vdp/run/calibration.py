"""What the chain of a diffusion prior is fitted to: its denoiser's errors on training images.

They are measured once for a checkpoint, on images of the training split alone, and kept beside it
in `calibration/STEP.npz`: {"gamma" [M + 1], "square" [M + 1, *s], "num"} as `vdp.diffusion.chains`
has them, and "params", sums over the bits of the parameters, for a step may be trained again. One
table serves chains of every T.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt32

from vdp.data import core, datasets
from vdp.diffusion.chains import FITTED
from vdp.errors import UserError
from vdp.metrics import per_batch
from vdp.priors.diffusion import DiffusionPrior
from vdp.run.base import M
from vdp.run.opened import Run
from vdp.runtime import npz, parallel
from vdp.settings import compare
from vdp.training.fingerprint import fingerprint
from vdp.types import Fittable, Model, Stats

FOLDER = "calibration"  # in the run's
IMAGES = 2048  # at most that many, spread over the training split
TIMES = 64  # M, or about as many
Table = Mapping[str, np.ndarray]


def path_of(workdir: pathlib.Path, step: int) -> pathlib.Path:
    """Where the table of a checkpoint is kept."""
    return workdir / FOLDER / f"{step}.npz"


def restored(run: Run[M], workdir: pathlib.Path) -> Run[M]:
    """The run with the chain that `eval.reverse` and `eval.num_steps` ask for.

    Where no table of these parameters is kept, the chain is the fixed one.

    Raises:
      UserError: the table is damaged, or another T is asked for than that of a learned chain.
    """
    if not _is_fitted(run):
        return with_chain(run, None)
    return with_chain(run, kept(run, workdir))


def kept(run: Run[M], workdir: pathlib.Path) -> Table | None:
    """The table of the run's parameters; None where there is none. All processes ask together.

    One without "params" is taken to be theirs: of version 0.1, or of an exported run, whose
    parameters are rounded and stay as they are.

    Raises:
      UserError: it is damaged.
    """
    table = _read(path_of(workdir, run.step))
    if parallel.agreed(table is None) or table is None:
        return None
    of_these = "params" not in table or np.array_equal(table["params"], _sums(run))
    return {k: v for k, v in table.items() if k != "params"} if of_these else None


def ensured(run: Run[M], workdir: pathlib.Path, dataset: datasets.Dataset) -> Run[M]:
    """The run with its chain fitted; where no table is kept, one is measured and kept.

    Args:
      run: a checkpoint, of `vdp.run.restore`.
      workdir: of the run.
      dataset: of `run.settings.data`; where it is not that of the training, nothing is measured.
    """
    if not _asked_of_its_own(run) or not is_missing(run):
        return run
    table, sums = measured(run, dataset), _sums(run)
    if parallel.is_writer():
        path = path_of(workdir, run.step)
        path.parent.mkdir(parents=True, exist_ok=True)
        npz.write(path, {**table, "params": sums})
    return with_chain(run, table)


def measured(run: Run[M], dataset: datasets.Dataset) -> Table:
    """The table of a checkpoint on images of the training split."""
    most = min(IMAGES, run.trained.eval.max_examples or IMAGES)
    split = dataset.splits["train"]
    split = split.take(core.spread(len(split), most))
    target, inputs = datasets.fixed_images(split, run.facts, run.settings.data)
    arrays = (target, inputs, split.labels)
    total, num, gamma = np.float64(0), 0, np.zeros(0)
    for batch in run.each(per_batch.errors, arrays, num=_times(run)):
        total = total + batch["square"].sum(0, dtype=np.float64)
        num, gamma = num + len(batch["square"]), batch["gamma"][0]
    square = np.asarray(total / num, np.float32)
    if not np.all(np.isfinite(square)):
        raise UserError(f"the denoiser is not finite: the checkpoint {run.step} diverged")
    return {"gamma": gamma, "square": square, "num": np.asarray(num)}


def _sums(run: Run[M]) -> UInt32[np.ndarray, "n"]:
    """A sum over the bits of every parameter, by which another network is told."""
    return np.asarray(list(fingerprint(run.params).values()), np.uint32)


def _times(run: Run[M]) -> int:
    """M: of a denoiser that was trained at T times alone, as nearly as can be a multiple of them.

    Above the most that are measured a divisor, or TIMES where there is none that is not small.
    """
    prior = getattr(run.model, "prior", None)
    if not isinstance(prior, DiffusionPrior) or prior.bound != "discrete":
        return TIMES
    steps = run.trained.model["prior"].get("num_steps", prior.num_steps)
    if steps <= TIMES:
        return steps * round(TIMES / steps)
    divisors = [num for num in range(TIMES // 2, 2 * TIMES + 1) if steps % num == 0]
    return max(divisors, default=TIMES)


def _asked_of_its_own(run: Run[M]) -> bool:
    """Whether the images, and what is drawn of them, are as they were in training."""
    before, now = dataclasses.asdict(run.trained.data), dataclasses.asdict(run.settings.data)
    return not compare.differences(before, now, free=compare.PLACES)


def as_trained(stats: Stats) -> Stats:
    """The stats of a model without the table."""
    if "errors" not in stats.get("prior", {}):
        return stats
    return stats | {"prior": {k: v for k, v in stats["prior"].items() if k != "errors"}}


def with_chain(run: Run[M], table: Table | None) -> Run[M]:
    """The run with the chain that its settings ask for, where it has one; None: the fixed one."""
    if not isinstance(run.model, Fittable):
        return run
    chosen, stats = run.settings.eval, as_trained(run.stats)
    if table is not None:
        errors = {name: np.asarray(table[name], np.float32) for name in ("gamma", "square")}
        stats = stats | {"prior": stats["prior"] | {"errors": errors}}
    reverse = "fixed" if table is None else chosen.reverse
    model: Any = run.model.fitted(reverse, chosen.num_steps)  # of the run's own kind
    return dataclasses.replace(run, model=model, stats=stats)


def is_missing(run: Run[M]) -> bool:
    """Whether a fitted chain is asked for and has no table, so that it is the fixed one."""
    return _is_fitted(run) and "errors" not in run.stats["prior"]


def own_chain(model: Model) -> str:
    """The chain that a validation's bound is of where it is one that can be fitted, as "T=100"."""
    prior = getattr(model, "prior", None)
    if not isinstance(model, Fittable) or not isinstance(prior, DiffusionPrior):
        return ""
    chained = prior.bound == "discrete" and prior.reverse == "fixed"
    return prior.bound_model if chained else ""


def _is_fitted(run: Run[M]) -> bool:
    """Whether the run has a chain, and its settings ask for a fitted one."""
    prior = getattr(run.model, "prior", None)
    if not isinstance(run.model, Fittable) or not isinstance(prior, DiffusionPrior):
        return False
    return prior.reverse != "learned" and run.settings.eval.reverse in FITTED


def _read(path: pathlib.Path) -> Table | None:
    """A table that is kept; None where there is none; UserError where it is no table."""
    table = npz.read(path)
    if table == {}:
        return None
    if table is None or not {"gamma", "square"} <= set(table):
        raise UserError(f"{path} is damaged: remove it, and evaluate the run again")
    return table
