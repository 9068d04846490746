"""One estimator on one set of images: the bound, importance weights, and what they stand for."""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from vdp.data import core
from vdp.errors import UserError
from vdp.evaluation import noisy
from vdp.evaluation.resume import Rows
from vdp.evaluation.values import Values, named
from vdp.metrics import dvp_reference, likelihood, refinement, score
from vdp.run import Run, calibration
from vdp.runtime import parallel
from vdp.runtime.progress import Progress
from vdp.settings import Eval
from vdp.types import (
    Arrays,
    Generative,
    Hierarchical,
    Model,
    OverPrior,
    Probabilistic,
    Refinable,
    Reinterpretable,
    Weighted,
)

SOLVER_EXAMPLES = 256  # images on which the ODE solver's error is looked at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimator:
    """What is computed under one name of eval.estimators.

    Attributes:
      of: the capability of a model that it is an estimator of.
      model: from the run's model to the one that is estimated, with the same parameters.
      weighted: whether it averages importance weights; else it is the bound.
      by_ode: whether it needs a prior with a probability flow.
      refines: the estimate by the encoder's posteriors, where here every image has its own.
    """

    of: type
    model: Callable[[Any], Any] = lambda model: model
    weighted: bool = False
    by_ode: bool = False
    refines: str = ""

    def tag(self, model: Any) -> str:
        """What the estimate is of: "exact", "T=25", "T=inf", "ode"."""
        return model.weight_model if self.weighted else model.bound_model


ESTIMATORS: Mapping[str, Estimator] = {
    "elbo": Estimator(of=Probabilistic),
    "elbo_discrete": Estimator(of=Reinterpretable, model=lambda model: model.discretized()),
    "elbo_ode": Estimator(of=Reinterpretable, model=lambda model: model.as_ode(), by_ode=True),
    "elbo_refined": Estimator(of=Refinable, refines="elbo"),
    "iwae": Estimator(of=Weighted, weighted=True),
    "iwae_ode": Estimator(
        of=Reinterpretable, model=lambda model: model.as_ode(), weighted=True, by_ode=True
    ),
    "iwae_refined": Estimator(of=Refinable, weighted=True, refines="iwae"),
    "dvp_reference": Estimator(of=Hierarchical, model=dvp_reference.ReferenceTerms, weighted=True),
}


def has_its_own(name: str, model: Model) -> bool:
    """Whether a model has this estimator, and it is not just another one of the same again."""
    estimator = ESTIMATORS[name]
    if not isinstance(model, estimator.of):
        return False
    if estimator.of is not Reinterpretable:
        return True
    return estimator.tag(estimator.model(model)) != estimator.tag(model)


def check(names: Collection[str], model: Model) -> None:
    """Refuses names of eval.estimators that a model does not have.

    `elbo_discrete` of an exact prior is none of them: it is `elbo` again, and left out. So is the
    default of a model that lacks it, where nothing else is asked for.

    Raises:
      UserError: the message lists those that the model has.
    """
    if tuple(names) == Eval().estimators:
        return
    has = {
        name: isinstance(model, estimator.of)
        and (not estimator.by_ode or estimator.tag(estimator.model(model)) == "ode")
        for name, estimator in ESTIMATORS.items()
    } | {"fid": isinstance(model, Generative)}
    if missing := [name for name in names if not has[name]]:
        there = ", ".join(name for name in has if has[name]) or "none"
        raise UserError(
            f"config.eval.estimators names {', '.join(missing)}, which this model does not have: "
            f"there is {there}"
        )
    if names and not any(name == "fid" or has_its_own(name, model) for name in names):
        raise UserError(
            f"config.eval.estimators={','.join(names)} is elbo again under this model: ask for elbo"
        )


def terms(
    name: str, run: Run[Model], arrays: Arrays, kept: Rows | None = None, *, label: str
) -> dict[str, Float[np.ndarray, "n"]]:
    """An estimate of every image, [N] nats: "value", and its parts, or "ess" of a weighted one.

    Args:
      name: one of ESTIMATORS, which the run's model has.
      run: the checkpoint.
      arrays: (target, input, labels).
      kept: results to go on from.
      label: what the progress is called.
    """
    estimator, chosen = ESTIMATORS[name], run.settings.eval
    if name == "elbo" and estimator.tag(run.model) == "T=inf":  # no chain: as a validation has it
        run = calibration.with_chain(run, None)
    model = estimator.model(run.model)
    function: Callable = score.flat_terms
    how: dict[str, Any] = dict(kept=kept)
    if estimator.weighted:
        chunk = min(chosen.iwae_chunk, chosen.iwae_samples)
        function = likelihood.iwae_terms
        how |= dict(num_samples=chosen.iwae_samples, chunk=chunk)
    if estimator.refines:
        steps, rate = chosen.refine_steps, chosen.refine_rate
        how["prepare"] = refinement.Ascent(run.batched, model, steps=steps, rate=rate)
    with Progress(label, len(arrays[0]), enabled=parallel.is_writer()) as progress:

        def moved(done: int) -> None:
            progress.update(done, None if done < len(arrays[0]) else "")

        how["progress"] = moved
        return run.batched.map(function, model, run.params, run.stats, arrays, **how)


def estimate(
    name: str, run: Run[Model], arrays: Arrays, kept: Rows | None = None
) -> tuple[dict[str, Any], Values]:
    """The entry of eval.json's "estimators" under `name`, and what it gave for every image.

    Args:
      name: one of ESTIMATORS, which the run's model has.
      run: the checkpoint.
      arrays: (target, input, labels).
      kept: results to go on from.

    Raises:
      UserError: a value is not finite.
    """
    start = time.perf_counter()
    estimator, chosen = ESTIMATORS[name], run.settings.eval
    model = estimator.model(run.model)
    parts = terms(name, run, arrays, kept, label=name)
    values, tag = parts.pop("value"), estimator.tag(model)
    each = named(name, values, parts)
    extra: dict[str, Any] = {}
    if estimator.weighted:
        weight = "path" if tag.startswith("T=") else tag
        sizes = parts.pop("ess")
        extra = {"k": chosen.iwae_samples, "weight": weight, "ess": float(sizes.mean())}
        if tag != dvp_reference.LABEL:
            extra |= enough_weights(sizes, chosen.iwae_samples)
    if estimator.refines:
        extra |= {"refine_steps": chosen.refine_steps, "refine_rate": chosen.refine_rate}
    if tag == "ode":
        assert isinstance(run.model, Reinterpretable)
        extra["solver_error"] = _solver_error(run, run.model, arrays)
    note = getattr(model.prior, "note", None) if isinstance(model, OverPrior) else None
    if note:
        extra["note"] = note
    wrong = [part for part, v in parts.items() if not np.all(np.isfinite(v))]
    where = f" in its part {', '.join(wrong)}" if wrong else ""
    why = "lower eval.refine_rate" if estimator.refines else ""
    require_finite(f"the estimator {name}", values, run.step, where=where, why=why)
    assert isinstance(run.model, Probabilistic)
    summary = likelihood.summary(values, run.facts.shape, discrete=run.model.discrete)
    entry = {
        **summary,
        "parts": {part: float(np.mean(v)) for part, v in parts.items()},
        "model": tag,
        **extra,
        "seconds": round(time.perf_counter() - start + (kept.seconds if kept else 0.0), 3),
    }
    return entry, each


def require_finite(
    what: str, values: Shaped[np.ndarray, "n"], step: int, *, where: str = "", why: str = ""
) -> None:
    """UserError that names `what` unless all its values are finite, which JSON could not hold.

    Args:
      what: is evaluated, as a sentence begins.
      values: of every image, [N].
      step: of the checkpoint.
      where: it is not finite, after the number of images.
      why: the default is a checkpoint that diverged or a component of one's own.
    """
    if num := np.count_nonzero(~np.isfinite(values)):
        why = why or (
            f"the checkpoint {step} diverged, or a component of one's own fails there "
            "(--mode=check says more)"
        )
        raise UserError(f"{what} is not finite for {num:,} of {len(values):,} images{where}: {why}")


def enough_weights(ess: Float[np.ndarray, "n"], num: int) -> dict[str, Any]:
    """What stands beside an IWAE: {"ess_low": the share of images of too few weights, "noisy"}.

    Args:
      ess: effective sample sizes, [N].
      num: K.
    """
    share = float(np.mean(noisy.too_few(np.asarray(ess, np.float64), num)))
    return {"ess_low": share, "noisy": share > noisy.SHARE}


def _solver_error(run: Run[Model], model: Reinterpretable, arrays: Arrays) -> float | None:
    """Mean change in nats of the bound when the ODE solver takes twice the step, noise kept.

    None of a single step, of which there is no double.
    """
    if model.as_ode() == model.as_ode(coarser=2):
        return None
    some = core.spread(len(arrays[0]), SOLVER_EXAMPLES)
    target, inputs, labels = (array[some] for array in arrays)
    models = [model.as_ode(coarser=coarser) for coarser in (1, 2)]
    seen = target, inputs, labels
    values = [run.map(score.flat_terms, seen, model=model)["value"] for model in models]
    return float(np.mean(np.abs(values[0] - values[1])))
