"""A diffusion prior of T steps on a fixed table of betas (Ho et al. 2020)."""

import flax.linen as nn

from vdp.diffusion import schedules
from vdp.priors._diffusion import DiffusionPrior

TABLES = {"linear": schedules.beta_linear, "cosine": schedules.beta_cosine}


def make(
    *,
    denoiser: nn.Module,
    betas: str = "cosine",
    num_steps: int = 100,
    parameterization: str = "v",
    form: str = "separate",
    bound: str = "discrete",
    weights: str = "bound",
    times: str = "low_discrepancy",
    num_strata: int = 0,
    sequential: bool = False,
    ode_steps: int = 32,
    ode_probes: int = 0,
) -> DiffusionPrior:
    """Builds the T-step prior.

    Args:
      denoiser: net(y, time, train) -> array of y's shape.
      betas: "linear" or "cosine".
      num_steps: T, also the length of the table.
      parameterization: this and the following as of `DiffusionPrior`.
      form: "separate" or "merged".
      bound: "discrete" or "ode"; "continuous" interpolates the table linearly in t.
      weights: "simple" for equal weights at every step in the denoiser's gradient.
      times: of training.
      num_strata: steps per image in a report, as of `DiffusionPrior`; 0: all T.
      sequential: whether a report looks at one step after the other.
      ode_steps: of the ODE solver.
      ode_probes: of the ODE's divergence.
    """
    if betas not in TABLES:
        raise ValueError(f"betas={betas!r} is not one of {', '.join(TABLES)}")
    return DiffusionPrior(
        denoiser=denoiser,
        schedule=TABLES[betas](num_steps=num_steps),
        parameterization=parameterization,
        form=form,
        bound=bound,
        weights=weights,
        times=times,
        num_steps=num_steps,
        num_strata=num_strata,
        sequential=sequential,
        ode_steps=ode_steps,
        ode_probes=ode_probes,
    )
