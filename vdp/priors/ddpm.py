"""A diffusion prior of T steps on a fixed table of betas (Ho et al. 2020)."""

import inspect

import flax.linen as nn

from vdp.diffusion import schedules
from vdp.errors import UserError
from vdp.priors.diffusion import DiffusionPrior

TABLES = {"linear": schedules.beta_linear, "cosine": schedules.beta_cosine}


def make(
    *,
    denoiser: nn.Module,
    betas: str = "cosine",
    num_steps: int = 100,
    bound: str = "discrete",
    **fields,
) -> DiffusionPrior:
    """Builds the T-step prior.

    Args:
      denoiser: net(y, time, train) -> array of y's shape.
      betas: "linear" or "cosine".
      num_steps: T, also the length of the table.
      bound: as of `DiffusionPrior`; "continuous" interpolates the table linearly in t.
      fields: the others of `DiffusionPrior` but the schedule, at its defaults.
    """
    if betas not in TABLES:
        raise UserError(f"betas={betas!r} is not one of {', '.join(TABLES)}")
    schedule = TABLES[betas](num_steps=num_steps)
    return DiffusionPrior(
        denoiser=denoiser, schedule=schedule, num_steps=num_steps, bound=bound, **fields
    )


def _signature() -> inspect.Signature:
    """That of `make` with all it accepts: what a config may set, and what a refusal lists."""
    own = inspect.signature(make).parameters
    fields = {k: v for k, v in inspect.signature(DiffusionPrior).parameters.items() if k not in own}
    del fields["schedule"]
    named = [v for v in own.values() if v.kind is not v.VAR_KEYWORD]
    return inspect.Signature([*named, *fields.values()], return_annotation=DiffusionPrior)


make.__signature__ = _signature()  # type: ignore[attr-defined]  # what `inspect` looks for
