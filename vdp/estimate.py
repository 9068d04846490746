"""One estimator on one set of images: the bound, importance weights, and what they stand for."""

import functools
import time

import numpy as np

from vdp import parallel, step
from vdp.errors import UserError
from vdp.evals import dvp_reference, likelihood
from vdp.report import Progress
from vdp.run import Run, iwae_function

ESTIMATORS = ("elbo", "elbo_discrete", "elbo_ode", "iwae", "iwae_ode", "dvp_reference")
SOLVER_EXAMPLES = 256  # images on which the ODE solver's error is looked at
OF_ANOTHER_MODEL = {  # of a diffusion prior's parameters; exact priors have one model only
    "elbo_discrete": lambda model: model.discretized(),
    "elbo_ode": lambda model: model.as_ode(),
    "iwae_ode": lambda model: model.as_ode(),
}


def has_its_own(name: str, model) -> bool:
    """Whether the estimator is not just another one of this model again."""
    if not hasattr(model, "bound_model"):  # no probability: nothing to estimate
        return False
    weight = name.startswith("iwae")
    if weight and not hasattr(model, "log_weight"):
        return False
    if name == "dvp_reference":
        return hasattr(model, "scales")
    if name not in OF_ANOTHER_MODEL:
        return True
    if not hasattr(model, "discretized"):
        return False
    other = OF_ANOTHER_MODEL[name](model)
    if weight:
        return other.weight_model != model.weight_model
    return other.bound_model != model.bound_model


def estimate(name: str, run: Run, arrays, kept=None) -> dict:
    """The entry of eval.json's "estimators" under `name`.

    Args:
      name: one of ESTIMATORS.
      run: the checkpoint.
      arrays: (target, input, labels).
      kept: `unfinished.Rows` to go on from.

    Raises:
      UserError: a value is not finite.
    """
    progress = Progress(name, len(arrays[0]), enabled=parallel.is_writer())
    start = time.perf_counter()

    def moved(done):
        progress.update(done, None if done < len(arrays[0]) else "")

    extra = {}
    model = OF_ANOTHER_MODEL.get(name, lambda model: model)(run.model)
    weighted = name.startswith("iwae") or name == "dvp_reference"
    if name == "dvp_reference":
        model = dvp_reference.ReferenceTerms(model)
    key, function = name, step.elbo_step
    if weighted:
        function = iwae_function(run.config.eval.iwae_samples, run.config.eval.iwae_chunk)
        key = (name, run.config.eval.iwae_samples)
    function = functools.partial(function, model)
    parts = run.evaluator.map(
        key, function, run.params, run.stats, arrays, progress=moved, kept=kept
    )
    values = parts.pop("value")
    if weighted:
        kind = "path" if model.weight_model.startswith("T=") else model.weight_model
        extra = {
            "k": run.config.eval.iwae_samples,
            "weight": kind,
            "ess": float(parts.pop("ess").mean()),
        }
    tag = model.weight_model if weighted else model.bound_model
    if tag == "ode":
        extra["solver_error"] = _solver_error(run, arrays)
    note = getattr(getattr(model, "prior", None), "note", None)
    if note:
        extra["note"] = note
    progress.close()
    if not np.all(np.isfinite(values)):
        raise UserError(f"the estimator {name} is not finite: the checkpoint {run.step} diverged")
    summary = likelihood.summary(values, run.facts.shape, discrete=run.model.discrete)
    return {
        **summary,
        "parts": {part: float(np.mean(v)) for part, v in parts.items()},
        "model": tag,
        **extra,
        "seconds": round(time.perf_counter() - start + (kept.seconds if kept else 0.0), 3),
    }


def _solver_error(run: Run, arrays) -> float:
    """Mean change in nats of the bound when the ODE solver takes twice the step, noise kept."""
    some = tuple(array[:SOLVER_EXAMPLES] for array in arrays)
    values = []
    for coarser in (1, 2):
        bound = functools.partial(step.elbo_step, run.model.as_ode(coarser=coarser))
        key = f"ode step x {coarser}"
        values.append(run.evaluator.map(key, bound, run.params, run.stats, some)["value"])
    return float(np.mean(np.abs(values[0] - values[1])))
