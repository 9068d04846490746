"""Whether the estimates of an evaluation could come of a density at all.

A density that does not integrate to one makes numbers that are no bounds and look like good ones.
What is found stands as "not_a_bound", a sentence, in every estimate that was made with it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vdp.metrics import divergence, score
from vdp.metrics.likelihood import mean_and_error
from vdp.run import Run
from vdp.types import Arrays, Model, Probabilistic

PAIRS = (  # a bound, and the mean of importance weights that it can never exceed
    ("elbo", "iwae"),
    ("elbo_discrete", "iwae"),
    ("elbo_ode", "iwae_ode"),
    ("elbo_refined", "iwae_refined"),
)


def mark(
    model: Model,
    parts: Callable[[], Mapping[str, np.ndarray]],
    result: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
) -> None:
    """Writes into estimates why they are no bounds, where they cannot be.

    Args:
      model: any.
      parts: gives the bound of every image and its parts, as of `score.flat_terms`; called only
        where there is an estimate to mark.
      result: of the evaluation, with its "estimators" and "information".
      values: what each of its images got, under the names of the estimators, [N] nats.
    """
    if not isinstance(model, Probabilistic):
        return
    estimators, tag = result["estimators"], model.bound_model
    entries = [entry for entry in estimators.values() if entry and _alike(entry["model"], tag)]
    if entries and tag != "ode":
        information = result["information"]
        if information and not _alike(information.get("model", tag), tag):  # as of a flow's solver
            information = None
        why = score.negative_rate(model, parts()) or _negative_divergence(
            information, divergence.no_density(tag)
        )
        for entry in entries if why else ():
            entry[divergence.NOT_A_BOUND] = why
    for pair in PAIRS:
        bound, weighted = (estimators.get(name) for name in pair)
        of_one = bound and weighted and bound["model"] == weighted["model"]
        why = _above(*pair, values) if of_one else ""
        for entry in (bound, weighted) if why else ():
            entry.setdefault(divergence.NOT_A_BOUND, why)


def _alike(one: str, other: str) -> bool:
    """Whether two models are of one prior density; chains share their noise schedule."""
    return one == other or (one.startswith("T=") and other.startswith("T="))


def _above(bound: str, weighted: str, values: Mapping[str, np.ndarray]) -> str:
    """Why neither can be trusted, where a bound exceeds the estimate that is never lower."""
    names = {bound, weighted}
    if not names <= set(values) or len(values[bound]) < 2:
        return ""
    by = mean_and_error(np.asarray(values[bound], np.float64) - values[weighted])
    if not divergence.is_negative(-by["mean"], float(by["se"] or 0.0)):
        return ""
    return (
        f"{bound} lies {by['mean']:.3g} ± {by['se']:.2g} nats above {weighted}, which is never the "
        "lower one of the same model: a bound and its importance weights are of two densities"
    )


def parts_of(
    run: Run[Model], arrays: Arrays, values: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    """What `mark` looks at: of a bound that was made, or computed here where that is cheap.

    A bound on a diffusion prior costs many passes, and is not computed for this alone: {} then.

    Args:
      run: the checkpoint.
      arrays: (target, input, labels) of N images.
      values: what each got, [N].
    """
    for name in ("elbo", "elbo_discrete"):
        if f"{name}.likelihood" in values:
            of_it = f"{name}."
            return {n.removeprefix(of_it): v for n, v in values.items() if n.startswith(of_it)}
    exact = isinstance(run.model, Probabilistic) and run.model.bound_model == "exact"
    return run.map(score.flat_terms, arrays) if exact else {}


def _negative_divergence(information: Mapping[str, Any] | None, therefore: str) -> str:
    if not information or not divergence.of_aggregate_is_negative(information):
        return ""
    left, error = information["aggregate_kl"], information["aggregate_kl_se"]
    return (
        f"the rate of the prior leaves {left:.3g} ± {error:.2g} nats for KL(q(z) || p(z)), which "
        f"is never negative: {therefore}"
    )
