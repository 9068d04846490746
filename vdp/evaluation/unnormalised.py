"""Whether what a prior says of an evaluation's images could come of a density at all.

A density that does not integrate to one makes numbers that are no bounds and look like good ones.
What is found stands as "not_a_bound", a sentence, in every estimate that was made with it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vdp.metrics import divergence, score
from vdp.run import Run
from vdp.types import Arrays, Model, Probabilistic


def mark(
    model: Model, parts: Callable[[], Mapping[str, np.ndarray]], result: Mapping[str, Any]
) -> None:
    """Writes into estimates of a model with an exact prior why they are no bounds, if they are not.

    Args:
      model: any.
      parts: gives the bound of every image and its parts, as of `score.flat_terms`; called only
        where there is an estimate to mark.
      result: of the evaluation, with its "estimators" and "information".
    """
    entries = [e for e in result["estimators"].values() if e and e["model"] == "exact"]
    exact = isinstance(model, Probabilistic) and model.bound_model == "exact"
    if not (entries and exact):
        return
    why = score.negative_rate(model, parts()) or _negative_divergence(result["information"])
    for entry in entries if why else ():
        entry[divergence.NOT_A_BOUND] = why


def parts_of(
    run: Run[Model], arrays: Arrays, values: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    """What `mark` looks at: of the estimate "elbo" where that was made, or computed here.

    Args:
      run: the checkpoint.
      arrays: (target, input, labels) of N images.
      values: what each got, [N].
    """
    if "elbo.likelihood" in values:
        return {n.removeprefix("elbo."): v for n, v in values.items() if n.startswith("elbo.")}
    return run.map(score.flat_terms, arrays)


def _negative_divergence(information: Mapping[str, Any] | None) -> str:
    if not information or not divergence.of_aggregate_is_negative(information):
        return ""
    left, error = information["aggregate_kl"], information["aggregate_kl_se"]
    return (
        f"the rate of the prior leaves {left:.3g} ± {error:.2g} nats for KL(q(z) || p(z)), which "
        f"is never negative: {divergence.NO_DENSITY}"
    )
