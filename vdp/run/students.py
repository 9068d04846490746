"""How a run starts whose prior learns from another run: with a fitted chain, or a teacher."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from vdp.data import datasets
from vdp.errors import UserError
from vdp.models import stages
from vdp.priors.diffusion import DiffusionPrior
from vdp.record import read_run
from vdp.run import calibration
from vdp.run.opened import M, Run
from vdp.run.opening import load
from vdp.types import Fittable, Params, Stats


def check(model: Any, *, has_teacher: bool) -> None:
    """Refuses to train a student without a teacher; UserError.

    Args:
      model: that will be trained.
      has_teacher: whether it starts with all of another run.
    """
    prior = getattr(model, "prior", None)
    if stages.is_student(prior) and not has_teacher:
        raise UserError(
            "model.prior.teacher_steps distils a trained prior: name its run in "
            "config.train.init_from, with config.train.init_parts=all"
        )


def first_run(workdir: str | pathlib.Path) -> Run[Any]:
    """Opens the run that another one goes on from: its best checkpoint, of a student the latest.

    Validations compare bounds. A student is trained for its samples, and its bound falls: the best
    checkpoint is hardly the student yet.
    """
    record = read_run(workdir)
    prior = record.settings.model.get("prior") or {}
    is_student = prior.get("teacher_steps") and record.weights is None  # exported: one checkpoint
    return load(workdir, "latest" if is_student else "best")


def start(run: Run[M], model: Any, dataset: datasets.Dataset) -> tuple[Params, Stats]:
    """The parameters and stats that a model starts with, taken from another run.

    A learned chain starts as the optimised one, or goes on where the run has one of the same T. A
    student has the run's denoiser for a teacher, and starts with it.

    Args:
      run: with the same prior but for its chain.
      model: that will be trained.
      dataset: whose training images a chain is fitted to.
    """
    params, stats = run.params, calibration.as_trained(run.stats)
    prior = getattr(model, "prior", None)
    if not isinstance(prior, DiffusionPrior) or not isinstance(run.model, Fittable):
        return params, stats
    known = params["prior"]
    denoiser = {name: known[name] for name in ("denoiser", "schedule") if name in known}
    of_prior = {name: leaf for name, leaf in stats.get("prior", {}).items() if name != "teacher"}
    if prior.teacher_steps:
        teacher = jax.tree.map(jnp.copy, denoiser)  # training donates the buffers of its state
        of_prior = of_prior | {"teacher": teacher}
    new = denoiser
    if prior.reverse == "learned":
        new = denoiser | {"reverse": _chain(run, run.model, prior, dataset)}
    return params | {"prior": new}, stats | {"prior": of_prior}


def _chain(
    run: Run[M], model: Fittable, prior: DiffusionPrior, dataset: datasets.Dataset
) -> Params:
    known = run.params["prior"]
    if "reverse" in known and len(known["reverse"]["log_v"]) == prior.num_steps:
        return known["reverse"]
    errors = {name: jnp.asarray(x) for name, x in calibration.measured(run, dataset).items()}
    shape = model.prior_shape(run.facts.shape)
    return prior.learned_chain(known, errors, shape)
