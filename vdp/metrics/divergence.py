"""When a divergence is negative by more than chance: then the prior's density is no density.

Nothing is imported here, for tables of many results are made without JAX.
"""

from collections.abc import Mapping
from typing import Any

NOT_A_BOUND = "not_a_bound"  # of an estimate in eval.json: why it is none
BY_DESIGN = {  # estimators that bound nothing, whatever the model
    "dvp_reference": "its exponent holds closed-form KLs and a noisy bound, so that it can exceed "
    "log p(x)",
}
ERRORS, ROUNDING = 5, 0.01  # standard errors and nats by which a divergence may seem negative
SAYS_MORE = "no number made with it is a bound; --mode=check says more"
NO_DENSITY = f"the prior's density does not integrate to one, and {SAYS_MORE}"
NO_DIFFUSION = (
    f"a sign or a factor of the diffusion is wrong, or its noise schedule falls, and {SAYS_MORE}"
)


def why_no_bound(name: str, entry: Mapping[str, Any]) -> str:
    """Why an entry of eval.json's "estimators" is no bound on log p(x); "" where it is one.

    Args:
      name: of the estimator.
      entry: of that estimator; an entry of a score, which has no such name, is fine too.
    """
    return BY_DESIGN.get(name) or str(entry.get(NOT_A_BOUND) or "")


def no_density(model: str) -> str:
    """What a negative divergence says of a prior.

    Args:
      model: tag of the bound, as "exact" or "T=inf".
    """
    return NO_DENSITY if model == "exact" else NO_DIFFUSION


def is_negative(mean: float, error: float) -> bool:
    """Whether the mean of a divergence, in nats, lies below 0 by more than chance and rounding."""
    return mean < -(ERRORS * error + ROUNDING)


def of_aggregate_is_negative(information: Mapping[str, Any]) -> bool:
    """Whether what the rate leaves for KL(q(z) || p(z)) is negative by more than chance.

    Args:
      information: as eval.json has it; older results do not have "aggregate_kl_se", and for that
        error twice the one of I(x; z) is taken.
    """
    of_information = information["nats"]["se"]
    twice = None if of_information is None else 2 * of_information
    error = information.get("aggregate_kl_se", twice)  # one image has none
    return error is not None and is_negative(information["aggregate_kl"], error)
