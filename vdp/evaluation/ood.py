"""Images of other data sets under a model: how well its scores tell them from those of its own.

A likelihood alone may be higher for images of another kind than for those it was trained on
(Nalisnick et al. 2019); the scores beside it are what was proposed against that.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.data import datasets, identity
from vdp.data.datasets import Facts
from vdp.errors import UserError
from vdp.evaluation import estimators
from vdp.evaluation.resume import Rows, Unfinished
from vdp.metrics import auroc, complexity, divergence, per_batch
from vdp.run import Run
from vdp.runtime import files, hashes
from vdp.settings import Data, Settings
from vdp.types import Arrays, Coded, Model, Partial, Probabilistic

Scores = dict[str, Float[np.ndarray, "n"]]
COMPLEXITY, CORRECTED, CODE, RATIO = "complexity", "corrected", "code", "llr_"
IN_BITS = (COMPLEXITY, CORRECTED)  # the others are in nats
HIGHER_OUTSIDE = (COMPLEXITY, CORRECTED, RATIO)  # beginnings of names: the others are lower there


def load(settings: Settings, facts: Facts, model: Model) -> dict[str, Arrays]:
    """The test images of `eval.ood` as a model is evaluated on images, (target, input, labels).

    Args:
      settings: of the run; the others' levels, size, binarisation and number are its own.
      facts: of the images that the model is made for.
      model: what is to score them.

    Returns:
      By data set; {} where none is asked for.

    Raises:
      UserError: the model has no bound on log p(x), a data set cannot be had, or its images are of
        another shape.
    """
    names = dict.fromkeys(settings.eval.ood)
    if names and not isinstance(model, Probabilistic):
        raise UserError(
            f"config.eval.ood needs a bound on log p(x), which the model {settings.model['name']} "
            "does not have: leave it out"
        )
    return {name: _images(name, settings, facts) for name in names}


def _images(name: str, settings: Settings, facts: Facts) -> Arrays:
    data = dataclasses.replace(
        settings.data,
        name=name,
        dir=_beside(settings.data, name),
        levels=facts.info.levels,
        num_validation=0,
    )
    try:
        dataset = datasets.load(data)
        other = "name images of one shape in config.eval.ood"
        identity.check_fits(dataset.facts, facts, name=name, otherwise=other)
    except UserError as error:
        raise UserError(f"config.eval.ood={name} cannot be scored: {error}") from error
    split = dataset.splits["test"]
    if settings.eval.max_examples:
        split = split.take(slice(settings.eval.max_examples))
    target, inputs = datasets.fixed_images(split, dataset.facts, data)
    return target, inputs, split.labels


def check_others(inside: np.ndarray, others: Mapping[str, Arrays]) -> None:
    """Refuses a data set of the very images that are evaluated, of which no score tells them.

    Args:
      inside: the evaluated images, as the model is asked for them.
      others: of `load`.

    Raises:
      UserError: as it says.
    """
    for name, (target, *_) in others.items():
        if np.array_equal(target, inside):
            raise UserError(
                f"config.eval.ood={name} are the images that are evaluated: leave it out"
            )


def _beside(data: Data, name: str) -> str | None:
    """Where another data set of files may lie: beside the folder of the run's own."""
    folder = files.located(data.dir).parent / name if data.dir else None
    return str(folder) if folder and ":" not in name and folder.is_dir() else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """Scores of the evaluated images, and of those of another data set, by the same names."""

    inside: Scores
    outside: Scores

    def entry(self) -> dict[str, Any]:
        """What eval.json holds of the other data set, as of `docs/estimators.md`."""
        found = {name: self._one(name) for name in self.inside}
        numbers = (len(next(iter(scores.values()))) for scores in (self.inside, self.outside))
        return found | {"num": dict(zip(("in", "out"), numbers, strict=True))}

    def _one(self, name: str) -> dict[str, Any] | None:
        inside, outside = self.inside[name], self.outside[name]
        if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
            return None
        above = name.startswith(HIGHER_OUTSIDE)
        found = auroc.area(outside, inside) if above else auroc.area(inside, outside)
        means = {"mean_in": float(inside.mean()), "mean_out": float(outside.mean())}
        return {**found, **means, "higher": "out" if above else "in"}


def compare(
    run: Run[Model],
    inside: Arrays,
    others: Mapping[str, Arrays] | None,
    kept: Unfinished,
    known: Mapping[str, np.ndarray],
) -> dict[str, Compared]:
    """Scores images of other data sets beside those that a run is evaluated on.

    Args:
      run: the checkpoint, of a `Probabilistic` model where there are `others`.
      inside: (target, input, labels) of the evaluated images.
      others: the same of each other data set, of `load`.
      kept: what a stopped evaluation has computed.
      known: estimates of the evaluated images by their names, which are not made again.
    """
    if not others:
        return {}
    own = _scores(run, inside, kept.rows, "the run's own images", known)
    found = {}
    for name, arrays in others.items():
        of_these = f"ood-{hashes.digest(*arrays)[:16]}"
        rows = lambda score, of_these=of_these: kept.rows(f"{of_these}-{score}")
        found[name] = Compared(inside=own, outside=_scores(run, arrays, rows, name, {}))
    return found


def _scores(
    run: Run[Model],
    arrays: Arrays,
    rows: Callable[[str], Rows],
    label: str,
    known: Mapping[str, np.ndarray],
) -> Scores:
    """The scores of every image, [N] each.

    Args:
      run: the checkpoint.
      arrays: (target, input, labels).
      rows: from a name to what is kept of it; an estimator's of the evaluated images is its own.
      label: of the images, for the progress.
      known: as of `compare`.
    """
    model = run.model
    names = [n for n in run.settings.eval.estimators if n in estimators.ESTIMATORS]
    bounds = [
        n for n in names if n not in divergence.BY_DESIGN and estimators.has_its_own(n, model)
    ]
    first = (bounds or ["elbo"])[0]

    @functools.cache
    def bound(name: str) -> Float[np.ndarray, "n"]:
        if name in known:
            return known[name]
        about = f"{name} of {label}"
        return estimators.terms(name, run, arrays, rows(name), label=about)["value"]

    scores = {first: bound(first)}
    if isinstance(model, Coded) and model.prior is not None:
        scores[CODE] = run.map(per_batch.code_log_prob, arrays, kept=rows(CODE))["value"]
    if isinstance(model, Partial) and (nums := _partly_from_q(model)):
        partial = run.map(per_batch.partial_bounds, arrays, kept=rows("partial"), nums=nums)
        scores |= {f"{RATIO}{num}": bound("elbo") - value for num, value in partial.items()}
    bits = complexity.compressed_bits(arrays[0])
    return scores | {COMPLEXITY: bits, CORRECTED: -scores[first] / math.log(2) - bits}


def _partly_from_q(model: Partial) -> tuple[int, ...]:
    """How many of the coarsest scales can be drawn from q so that q and p both have something."""
    return tuple(range(0 if model.pseudoinput is not None else 1, len(model.scales)))
