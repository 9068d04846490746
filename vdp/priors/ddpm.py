"""A diffusion prior of T steps on a fixed table of betas (Ho et al. 2020)."""

import inspect
from typing import Annotated, Any

import flax.linen as nn

from vdp.diffusion import schedules
from vdp.errors import choose_from
from vdp.priors.diffusion import DiffusionPrior
from vdp.priors.diffusion_model import Bound
from vdp.settings.rules import OneOf, Size

TABLES = {"linear": schedules.beta_linear, "cosine": schedules.beta_cosine}


def make(
    *,
    denoiser: nn.Module,
    betas: Annotated[str, OneOf(*TABLES)] = "cosine",
    num_steps: Size = 100,
    bound: Bound = "discrete",
    **fields: Any,
) -> DiffusionPrior:
    """Builds the T-step prior.

    Args:
      denoiser: net(y, time, train) -> array of y's shape.
      betas: "linear" or "cosine".
      num_steps: T, also the length of the table.
      bound: as of `DiffusionPrior`; "continuous" interpolates the table linearly in t.
      fields: the others of `DiffusionPrior` but the schedule, at its defaults.

    Raises:
      UserError: another table.
    """
    if betas not in TABLES:
        raise choose_from("betas", betas, TABLES)
    schedule = TABLES[betas](num_steps=num_steps)
    return DiffusionPrior(
        denoiser=denoiser, schedule=schedule, num_steps=num_steps, bound=bound, **fields
    )


def _signature() -> inspect.Signature:
    """That of `make` with all it accepts: what a config may set, and what a refusal lists."""
    makers, priors = (inspect.signature(maker).parameters for maker in (make, DiffusionPrior))
    fields = {name: field for name, field in priors.items() if name not in makers}
    del fields["schedule"]
    named = [v for v in makers.values() if v.kind is not v.VAR_KEYWORD]
    return inspect.Signature([*named, *fields.values()], return_annotation=DiffusionPrior)


make.__signature__ = _signature()  # type: ignore[attr-defined]  # what `inspect` looks for
