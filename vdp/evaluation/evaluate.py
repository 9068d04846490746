"""The numbers of one checkpoint on one split: what eval.json holds."""

import dataclasses
import datetime
import functools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Generic

import numpy as np

from vdp.data import datasets, labels
from vdp.data.core import Split
from vdp.errors import UserError
from vdp.evaluation import (
    convergence,
    interpolation,
    naming,
    ood,
    representation,
    samples,
    unnormalised,
    validations,
    values,
)
from vdp.evaluation.estimators import ESTIMATORS, estimate, has_its_own, require_finite
from vdp.evaluation.resume import Unfinished
from vdp.levels import to_unit
from vdp.metrics import fid, latents, likelihood, per_batch, score
from vdp.run import M, Run
from vdp.runtime.metric_log import METRICS_FILE, train_seconds
from vdp.types import (
    Arrays,
    ByUnit,
    Classifying,
    Generative,
    Hierarchical,
    Latent,
    Model,
    Reconstructing,
    Scored,
    Stochastic,
)

BOUNDS = ("elbo", "elbo_discrete", "elbo_ode")  # the first that is there says what latents cost


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question(Generic[M]):
    """A checkpoint, the images it is asked about, and the estimates that are there already.

    `values` are what each image got, and are added to.
    """

    run: Run[M]
    split: Split
    arrays: Arrays
    estimators: dict[str, dict | None]
    values: values.Values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation has found.

    Attributes:
      result: what eval.json holds, null where a question does not apply to the model.
      values: what eval.npz holds.
      compared: scores of images of other data sets, by their names.
      kept: what had been computed, to be removed when all this is written.
    """

    result: dict[str, Any]
    values: values.Values
    compared: Mapping[str, ood.Compared]
    kept: Unfinished


def evaluate(
    run: Run[Model],
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    features: fid.Features | None = None,
    others: Mapping[str, Arrays] | None = None,
) -> Evaluation:
    """Computes `eval.estimators` on `eval.split`, and what else the model can be asked.

    Args:
      run: the checkpoint.
      workdir: of the run: its metrics, and what a stopped evaluation has kept.
      dataset: the data of `run.settings.data`.
      features: of FID, where it is wanted.
      others: images of other data sets, of `ood.load`.

    Raises:
      UserError: the split is empty, or an estimate is not finite.
    """
    chosen, data = run.settings.eval, run.settings.data
    split, arrays = _images(run, dataset)
    spent = [train_seconds(workdir / METRICS_FILE, step) for step in (run.step, None)]
    to_step, in_all = (None if each is None else round(each, 3) for each in spent)
    changes = naming.changed(run.trained, run.settings)
    question = Question(
        run=run,
        split=split,
        arrays=arrays,
        estimators=dict.fromkeys(ESTIMATORS),
        values={values.IMAGE: values.image_hashes(arrays[0])},
    )
    result = {
        "step": run.step,
        "checkpoint": chosen.checkpoint,
        "validations": validations.among(run, workdir) if chosen.checkpoint == "best" else None,
        "split": chosen.split,
        "settings": {field: after for field, (_, after) in changes.items()},
        "question": naming.question(run.settings),
        "num_examples": len(split),
        "classes": labels.fewer(split.labels, dataset.splits[chosen.split].labels),
        "binarization_seed": data.binarization_seed if data.binarization != "none" else None,
        "augmentation": data.augmentation,
        "estimators": question.estimators,
        **dict.fromkeys(("fid", "kid", "manifold", "sampling", "ood")),
        **dict.fromkeys(("active_units", "rates", "latents", "clipped", "accuracy_se", "score")),
        **dict.fromkeys(("information", "mse", "mse_se", "interpolation", "accuracy")),
        "representation": None,
        "convergence": None,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "train_seconds": to_step,
        "train_seconds_total": in_all,
    }
    kept = Unfinished(run, workdir, question.arrays)
    for name in chosen.estimators:
        if name in ESTIMATORS and has_its_own(name, run.model):
            entry, each = estimate(name, run, question.arrays, kept.rows(name))
            question.estimators[name] = entry
            question.values.update(each)
    for name, refined in question.estimators.items():
        if refined and ESTIMATORS[name].refines:
            refined |= _gained(question, name)
    for capability, measure in MEASURES:
        if isinstance(run.model, capability):
            result |= measure(question)
    parts = lambda: unnormalised.parts_of(run, question.arrays, question.values)
    unnormalised.mark(run.model, parts, result, question.values)
    if chosen.probe:
        result["representation"] = representation.measure(run, dataset, split)
    drawn = functools.cache(lambda: samples.draw(run, kept.rows("samples")))
    seen = functools.cache(lambda: features.apply(drawn().images)) if features else None
    if chosen.convergence:
        given = (run, question.arrays, dataset, kept, features, seen)
        result["convergence"] = {
            name: convergence.measure(name, *given) for name in dict.fromkeys(chosen.convergence)
        }
    if features and seen and "fid" in chosen.estimators and isinstance(run.model, Generative):
        result |= samples.judged(run, dataset, features, drawn(), seen())
    compared = ood.compare(run, question.arrays, others, kept, question.values)
    result["ood"] = {name: scores.entry() for name, scores in compared.items()} or None
    return Evaluation(result=result, values=question.values, compared=compared, kept=kept)


def _gained(question: Question[Any], name: str) -> dict[str, Any]:
    """What posteriors of each image's own add to a bound, beside the encoder's where it is known.

    Of the bound itself that is the amortisation gap, or as much of it as the ascent has closed.
    """
    if (encoders := question.values.get(ESTIMATORS[name].refines)) is None:
        return {}
    return {"gained": likelihood.mean_and_error(question.values[name] - encoders)}


def _images(run: Run[Model], dataset: datasets.Dataset) -> tuple[Split, Arrays]:
    """(the images of `eval.split`, at most `eval.max_examples`; their target, input and labels).

    Raises:
      UserError: there are none.
    """
    chosen = run.settings.eval
    split = dataset.splits[chosen.split]
    if chosen.max_examples:
        split = split.take(slice(chosen.max_examples))
    if not len(split):
        raise UserError(f"the {chosen.split} split is empty: set data.num_validation when training")
    target, inputs = datasets.fixed_images(split, run.facts, run.settings.data)
    return split, (target, inputs, split.labels)


def _latents(question: Question[Stochastic]) -> dict[str, Any]:
    """What every latent carries, top first: {"name", "height", "units", "active", "used", "rate"}.

    The rate is minus its parts of the bound, in nats; that of a hierarchy's z_l is conditional on
    all above. A pseudo-input has a rate alone.
    """
    run = question.run
    active = latents.active_units(run.each(per_batch.latent_means, question.arrays))
    is_active = active.pop("is_active")
    table = run.model.latent_table(run.facts.shape)
    ends = np.cumsum([row["units"] for row in table])[:-1]
    for row, active_ones in zip(table, np.split(is_active, ends), strict=True):
        row["active"] = int(active_ones.sum())
    if isinstance(run.model, ByUnit):
        used, known = latents.used_units(run.each(per_batch.unit_rates, question.arrays))
        active |= {"used": int(used.sum()), "with_rates": int(known.sum())}
        for row, ones, has in zip(table, np.split(used, ends), np.split(known, ends), strict=True):
            row["used"] = int(ones.sum()) if has.all() else None
    if isinstance(run.model, Hierarchical) and run.model.pseudoinput is not None:
        units = math.prod(run.model.prior_shape(run.facts.shape))
        table.insert(0, {"name": "u", "height": None, "units": units, "active": None})
    first = next((name for name in BOUNDS if question.estimators[name]), None)
    bound = question.estimators[first] if first else None
    parts = dict(bound["parts"]) if bound else {}
    if "likelihood" in parts:
        by_latent = latents.rates(parts, [row["name"] for row in table])
        for row in table:
            row["rate"] = by_latent.get(row["name"], 0)
    rates = [row["rate"] for row in table] if "rate" in table[0] else None
    information = None
    if first and bound and rates and len(rates) == 1:
        information = _information(question, first, *rates)
        information = information and information | {"model": bound["model"]}
    return {
        "active_units": active,
        "latents": table,
        "rates": rates,
        "information": information,
    }


def _information(question: Question[Stochastic], bound: str, rate: float) -> dict[str, Any] | None:
    """What the code of a flat model tells of its image, by the rate that one of its bounds has."""
    images = question.arrays[1]
    if isinstance(question.run.model, Hierarchical):  # of one latent
        return None
    q = question.run.encode(images)
    mean, log_var = (np.reshape(values, (len(images), -1)) for values in (q.mean, q.log_var))
    found = latents.information(mean, log_var, rate, seed=question.run.settings.eval.seed)
    likelihoods, bounds = question.values[f"{bound}.likelihood"], question.values[bound]
    of_rate = likelihood.mean_and_error(likelihoods - bounds)["se"]
    error = None if of_rate is None else math.hypot(of_rate, found["nats"]["se"])
    return found | {"aggregate_kl_se": error}


def _clipped(question: Question[Hierarchical]) -> dict[str, Any]:
    if question.run.model.pseudoinput is None:
        return {}
    return {"clipped": float(np.mean(question.run.map(per_batch.clipped, question.arrays)))}


def _squared_error(question: Question[Reconstructing]) -> dict[str, Any]:
    run, target = question.run, question.arrays[0]
    images = run.map(per_batch.reconstruct, question.arrays)
    squares = (images - to_unit(target, run.facts.levels)) ** 2
    of_each = squares.reshape(len(images), -1).mean(axis=1)
    require_finite("the reconstruction", of_each, run.step)
    return likelihood.with_se("mse", of_each)


def _interpolation(question: Question[Latent]) -> dict[str, Any]:
    if len(question.split) < 2:
        return {}
    return {"interpolation": interpolation.measure(question.run, question.arrays[1])}


def _accuracy(question: Question[Classifying]) -> dict[str, Any]:
    labelled = question.arrays[2] >= 0
    if not labelled.any():
        return {}
    correct = question.run.map(per_batch.correct, question.arrays)
    return likelihood.with_se("accuracy", correct[labelled])


def _score(question: Question[Scored]) -> dict[str, Any]:
    """What a model without a probability of images is compared by, with its own name and sign."""
    shown = score.score_of(question.run.model)
    each = shown.sign * question.run.map(score.flat_terms, question.arrays)["value"]
    question.values.update(values.named("score", each, {}))
    if isinstance(question.run.model, Classifying):  # which has none of images without a label
        each = each[question.arrays[2] >= 0]
        if not len(each):
            return {}
    require_finite(f"the score {shown.name!r}", each, question.run.step)
    better = "higher" if shown.sign > 0 else "lower"
    about = {"name": shown.name, "unit": shown.unit, "better": better}
    return {"score": about | likelihood.mean_and_error(each)}


# each is asked of the models that have its capability alone
MEASURES: tuple[tuple[type, Callable[[Question[Any]], dict[str, Any]]], ...] = (
    (Stochastic, _latents),
    (Hierarchical, _clipped),
    (Reconstructing, _squared_error),
    (Latent, _interpolation),
    (Classifying, _accuracy),
    (Scored, _score),
)
