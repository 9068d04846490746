"""What makers from outside the package have to make, by the field that their name stands under.

It is looked at as soon as it is made: whatever is built around it would fail in its place.
"""

import inspect
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from vdp.diffusion.schedules import Schedule
from vdp.errors import UserError
from vdp.types import Likelihood, Prior, PseudoInput

PROTOCOLS = {"prior": Prior, "likelihood": Likelihood, "pseudoinput": PseudoInput}
NETWORKS = ("encoder", "decoder", "denoiser")
TIMES = np.linspace(0, 1, 65, dtype=np.float32)
ROUNDING = 1e-3  # of gamma, in its own unit


def check(room: str, made: Any) -> None:
    """Refuses what cannot stand under a field.

    Args:
      room: the field, "prior" or the like; one without a rule takes anything.
      made: what the maker gave.

    Raises:
      UserError: it is another thing, or lacks something.
    """
    if room in PROTOCOLS:
        _whole(made, PROTOCOLS[room])
    elif room in NETWORKS:
        _network(made)
    elif room == "schedule":
        _schedule(made)


def _whole(made: Any, protocol: type) -> None:
    public = [name for name in vars(protocol) if not name.startswith("_")]
    methods = [name for name in public if inspect.isfunction(vars(protocol)[name])]
    missing = {
        "method": [name for name in methods if not callable(getattr(made, name, None))],
        "attribute": [n for n in protocol.__annotations__ if not hasattr(made, n)],
    }
    for kind, names in missing.items():
        if names:
            raise UserError(
                f"{type(made).__name__} has no {kind} {', '.join(names)}, which "
                f"vdp.types.{protocol.__name__} asks for"
            )


def _network(made: Any) -> None:
    kind = type(made).__name__
    if not isinstance(made, nn.Module):
        raise UserError(f"it makes {kind} where a flax.linen module is needed")
    takes = inspect.signature(type(made).__call__).parameters
    if "train" not in takes and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        raise UserError(f"{kind}.__call__ has no argument train, which it is called with")


def _schedule(made: Any) -> None:
    """Refuses what is no `Schedule`, and gammas that are no log-ratio of noise to signal."""
    if not isinstance(made, Schedule):
        needed = "vdp.diffusion.schedules.Schedule"
        raise UserError(f"it makes {type(made).__name__} where {needed} is needed")
    gamma = np.asarray(made.gamma(made.init(), jnp.asarray(TIMES)))
    if gamma.shape != TIMES.shape:
        shapes = f"{list(gamma.shape)} for times {list(TIMES.shape)}"
        raise UserError(f"gamma gives the shape {shapes}")
    if not np.isfinite(gamma).all():
        raise UserError(f"gamma is not finite at t = {TIMES[~np.isfinite(gamma)][0]:.3g}")
    if (falls := np.flatnonzero(np.diff(gamma) < -ROUNDING)).size:
        raise UserError(
            f"gamma falls at t = {TIMES[falls[0]]:.3g}, from {gamma[falls[0]]:.4g} to "
            f"{gamma[falls[0] + 1]:.4g}: it is minus the logarithm of the signal-to-noise ratio, "
            "and rises with time"
        )
    ends = tuple(float(gamma[i]) for i in (0, -1))
    if not np.allclose(ends, made.initial_range, atol=10 * ROUNDING, rtol=ROUNDING):
        raise UserError(
            f"gamma goes from {ends[0]:.4g} to {ends[1]:.4g} where initial_range says "
            f"{made.initial_range[0]:.4g} to {made.initial_range[1]:.4g}"
        )
    if ends[0] > made.gamma_0_max + 10 * ROUNDING:
        raise UserError(f"gamma(0) = {ends[0]:.4g} lies above gamma_0_max = {made.gamma_0_max:.4g}")
