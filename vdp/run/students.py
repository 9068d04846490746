"""How a run starts whose prior learns from another run: with a fitted chain, or a teacher."""

from typing import Any

import jax
import jax.numpy as jnp

from vdp.data import datasets
from vdp.errors import UserError
from vdp.priors.diffusion import DiffusionPrior
from vdp.run import calibration
from vdp.run.base import M
from vdp.run.opened import Run
from vdp.settings import Train
from vdp.types import Fittable, Learning, Model, Params, Stats


def check(model: Model, training: Train, *, has_teacher: bool) -> None:
    """Refuses to train a student without a teacher, or until its bound is no better; UserError.

    Args:
      model: that will be trained.
      training: how.
      has_teacher: whether it starts with all of another run.
    """
    if not (isinstance(model, Learning) and model.is_student):
        return
    if not has_teacher:
        raise UserError(
            "model.prior.teacher_steps distils a trained prior: name its run in "
            "config.train.init_from, with config.train.init_parts=all"
        )
    if training.patience:
        raise UserError(
            f"train.patience={training.patience} waits for a better bound, for which a student of "
            "model.prior.teacher_steps is not trained: leave it out"
        )


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
