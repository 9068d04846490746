"""Whether what a prior says of an evaluation's images could come of a density at all.

A density that does not integrate to one makes numbers that are no bounds and look like good ones.
What is found stands as "not_a_bound", a sentence, in every estimate that was made with it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vdp.metrics import divergence, score
from vdp.run import Run
from vdp.types import Arrays, Model, Probabilistic


def mark(
    run: Run[Model],
    arrays: Arrays,
    values: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
) -> None:
    """Writes into estimates of a model with an exact prior why they are no bounds, if they are not.

    Args:
      run: the checkpoint.
      arrays: (target, input, labels) of N images.
      values: what each got, [N]: those of "elbo" where it was estimated.
      result: of the evaluation, with its "estimators" and "information".
    """
    entries = [e for e in result["estimators"].values() if e and e["model"] == "exact"]
    if entries and (why := _reason(run, arrays, values, result["information"])):
        for entry in entries:
            entry[divergence.NOT_A_BOUND] = why


def _reason(
    run: Run[Model],
    arrays: Arrays,
    values: Mapping[str, np.ndarray],
    information: Mapping[str, Any] | None,
) -> str:
    """What shows that the prior's density is none, as a sentence; "" where nothing does."""
    if not (isinstance(run.model, Probabilistic) and run.model.bound_model == "exact"):
        return ""
    parts: Mapping[str, np.ndarray]
    if "elbo.likelihood" in values:
        parts = {"value": values["elbo"], "likelihood": values["elbo.likelihood"]}
    else:
        parts = run.map(score.flat_terms, arrays)
    return score.negative_rate(run.model, parts) or _negative_divergence(information)


def _negative_divergence(information: Mapping[str, Any] | None) -> str:
    if not information or not divergence.of_aggregate_is_negative(information):
        return ""
    left, error = information["aggregate_kl"], information["aggregate_kl_se"]
    return (
        f"the rate of the prior leaves {left:.3g} ± {error:.2g} nats for KL(q(z) || p(z)), which "
        f"is never negative: {divergence.NO_DENSITY}"
    )
