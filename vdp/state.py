"""What training carries from step to step, and how it starts."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from vdp.types import Array, Model, Params, Stats


@struct.dataclass(kw_only=True)
class State:
    """Everything a checkpoint holds; no random key: seed and step determine all noise.

    `ema` and `ema_stats` are what is evaluated: the averages of parameters and of running
    statistics over the same steps. `bad_steps` counts the non-finite updates skipped in a row.
    """

    step: Array
    params: Params
    stats: Stats
    opt_state: Any
    ema: Params
    ema_stats: Stats
    bad_steps: Array


def create(model: Model, optimizer, rng: Array, x_shape, *, data=None) -> State:
    """A state at step 0; `ema` starts as a copy of the parameters."""
    params, stats = model.init(rng, x_shape, data=data)
    return State(
        step=jnp.int32(0),
        params=params,
        stats=stats,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(jnp.copy, params),
        ema_stats=jax.tree.map(jnp.copy, stats),
        bad_steps=jnp.int32(0),
    )


def count_parameters(params: Params) -> dict[str, int]:
    """Trainable numbers by role, and in total."""
    roles = {role: sum(leaf.size for leaf in jax.tree.leaves(p)) for role, p in params.items()}
    return {"total": sum(roles.values()), **roles}
