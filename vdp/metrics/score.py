"""The one number by which validations compare checkpoints: what it is called, and computing it.

Older runs: until 0.1.1 every score was called "elbo", with the sign of `Terms`, in checkpoints, and
that of a classifier in metrics.jsonl too. `stored` and `series_name` are the places that know.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.errors import UserError
from vdp.metrics import divergence
from vdp.types import (
    ELBO,
    Array,
    Batch,
    Key,
    Learning,
    Model,
    Params,
    Probabilistic,
    Score,
    Scored,
    Stats,
    Terms,
)

OLDER = "elbo"
NOT_OF_PRIOR = re.compile(r"value|likelihood|z_\d+")  # of the parts of a bound


def score_of(model: Model) -> Score:
    """The score of a model: a bound in nats, or what it declares itself.

    The bound of a student chooses no checkpoint: it falls, as the samples get better.

    Raises:
      UserError: it is neither `Probabilistic` nor `Scored`.
    """
    if isinstance(model, Probabilistic):
        is_student = isinstance(model, Learning) and model.is_student
        return dataclasses.replace(ELBO, chooses=not is_student)
    if isinstance(model, Scored):
        return model.score
    raise UserError(
        f"the model {type(model).__name__} needs either `elbo`, `discrete` and `bound_model`, or "
        "`score` and `evaluate` (vdp.types: Probabilistic, Scored)"
    )


def terms(model: Model, params: Params, stats: Stats, batch: Batch, rng: Key) -> Terms:
    """What validations compare, [B], higher is better: the un-annealed bound, or `evaluate`.

    Args:
      model: one that is `Probabilistic` or `Scored`.
      params: of the model.
      stats: of the model.
      batch: B examples.
      rng: a key.
    """
    if isinstance(model, Probabilistic):
        return model.elbo(params, stats, batch, rng)
    assert isinstance(model, Scored)
    return model.evaluate(params, stats, batch, rng)


def flat_terms(
    model: Model, params: Params, stats: Stats, batch: Batch, rng: Key
) -> dict[str, Float[Array, "b"]]:
    """For `Batched.map`: "value", and every part of `terms` by its name, each [B].

    Args: as of every function of `vdp.metrics.per_batch`.
    """
    bound = terms(model, params, stats, batch, rng)
    return {"value": bound.value, **bound.parts}


def negative_rate(model: Model, parts: Mapping[str, np.ndarray]) -> str:
    """A sentence where the rate of a prior lies below 0 by more than chance, else "".

    The rate is a KL divergence or its upper bound, which is never negative: the prior's density is
    then not normalised, or has a wrong sign, or a diffusion's SNR does not fall with time.

    Args:
      model: any; a probability flow is not judged, whose solver has an error of its own.
      parts: of `flat_terms`, over images; those of a ladder's own latents are no prior's.
    """
    tag = model.bound_model if isinstance(model, Probabilistic) else "ode"
    of_prior = [name for name in parts if not NOT_OF_PRIOR.fullmatch(name)]
    if tag == "ode" or "likelihood" not in parts or not of_prior:
        return ""
    rate = -np.sum([np.asarray(parts[name], np.float64) for name in of_prior], axis=0)
    error = rate.std(ddof=1) / np.sqrt(len(rate)) if len(rate) > 1 else np.inf
    if not divergence.is_negative(float(rate.mean()), float(error)):
        return ""
    return (
        f"the rate of the prior is {rate.mean():.3g} ± {error:.2g} nats, and a KL divergence is "
        f"never negative: {divergence.no_density(tag)}"
    )


def shown(score: Score, value: Any, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Mean terms by name, the value under the score's, each with the sign that people read."""
    return {name: score.sign * v for name, v in ({score.name: value} | dict(parts)).items()}


def stored(score: Score, metrics: Mapping[str, float]) -> float:
    """The score in a checkpoint's metrics, higher is better, whatever version wrote them."""
    if score.name in metrics:
        return score.sign * metrics[score.name]
    return metrics[OLDER]


def series_name(score: Score, lines: Iterable[Mapping]) -> str:
    """The score's name in lines of metrics.jsonl: its own, or the one of an older version."""
    names = {name.partition("/")[2] for line in lines for name in line}
    return OLDER if score.name not in names and OLDER in names else score.name
