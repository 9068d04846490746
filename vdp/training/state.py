"""What training carries from step to step, how it starts, and its shapes on the devices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Int32, UInt8

from vdp.metrics.likelihood import bits_per_dim
from vdp.runtime import backend, parallel
from vdp.settings import Settings
from vdp.training import optim
from vdp.types import Array, Learning, Model, Params, Ranged, Stats

PACKED_LEAVES = 100  # from where on an update packs them, on CPU and GPU: copies for fewer kernels


@struct.dataclass(kw_only=True)
class State:
    """Everything a checkpoint holds; no random key: seed and step determine all noise.

    `ema` and `ema_stats` are what is evaluated: the averages of parameters and of running
    statistics over the same steps. `bad_steps` counts the non-finite updates skipped in a row.
    """

    step: Int32[Array, ""]
    params: Params
    stats: Stats
    opt_state: Any
    ema: Params
    ema_stats: Stats
    bad_steps: Int32[Array, ""]


@struct.dataclass(kw_only=True)
class Evaluated:
    """The part of a `State` that a run is opened with: no moments of the optimiser are read."""

    step: Int32[Array, ""]
    ema: Params
    ema_stats: Stats


def create(
    model: Model,
    optimizer: optim.Optimizer,
    rng: Array,
    x_shape: tuple[int, int, int],
    *,
    data: UInt8[Array, "n h w c"] | None = None,
) -> State:
    """A state at step 0; `ema` starts as a copy of the parameters.

    Args:
      model: what is trained.
      optimizer: of `vdp.training.optim.make`.
      rng: a key.
      x_shape: (H, W, C).
      data: training images uint8 [N, H, W, C] as the encoder sees them, for what starts from data;
        None gives placeholders.
    """
    return _started(optimizer, *model.init(rng, x_shape, data=data))


def _started(optimizer: optim.Optimizer, params: Params, stats: Stats) -> State:
    return State(
        step=jnp.int32(0),
        params=params,
        stats=stats,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(jnp.copy, params),
        ema_stats=jax.tree.map(jnp.copy, stats),
        bad_steps=jnp.int32(0),
    )


def template(
    settings: Settings, model: Model, x_shape: tuple[int, int, int], mesh: jax.sharding.Mesh
) -> tuple[optim.Optimizer, State]:
    """(optimiser, shapes with shardings) of a run's state; needs no data and no memory.

    Args:
      settings: of the run.
      model: what is trained.
      x_shape: (H, W, C).
      mesh: the devices.
    """
    key = jax.random.key(settings.seed)
    params, stats = jax.eval_shape(lambda: model.init(key, x_shape))
    many = len(jax.tree.leaves(params)) >= PACKED_LEAVES
    optimizer = optim.make(
        settings.optim,
        settings.train.steps,
        params,
        bits_per_nat=-bits_per_dim(1.0, x_shape),
        packed=many and not backend.on_tpu() and not settings.train.fsdp,
        ranges=model.parameter_ranges if isinstance(model, Ranged) else None,
        held=model.held_parameters if isinstance(model, Learning) else (),
        unshrunk=model.unshrunk_parameters if isinstance(model, Learning) else (),
    )
    shapes = jax.eval_shape(functools.partial(_started, optimizer), params, stats)
    return optimizer, _placed(shapes, mesh, settings.train.fsdp)


def evaluated_template(
    settings: Settings, model: Model, x_shape: tuple[int, int, int], mesh: jax.sharding.Mesh
) -> Evaluated:
    """Shapes with shardings of what a run is opened with.

    Args:
      settings: of the run.
      model: what was trained.
      x_shape: (H, W, C).
      mesh: the devices.
    """

    def start() -> Evaluated:
        params, stats = model.init(jax.random.key(settings.seed), x_shape)
        return Evaluated(step=jnp.int32(0), ema=params, ema_stats=stats)

    return _placed(jax.eval_shape(start), mesh, settings.train.fsdp)


def carried(optimizer: optim.Optimizer, current: State) -> State:
    """A state as training carries it from step to step: packed, as its optimiser does.

    Args:
      optimizer: of `template`.
      current: on the devices, or shapes of a state, as of `template`.
    """
    if optimizer.packing is None:
        return current
    sharding = current.step.sharding  # of all: what is sharded is not packed
    if isinstance(current.step, jax.ShapeDtypeStruct):
        shapes = jax.eval_shape(optimizer.pack, current)
        of = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        return jax.tree.map(of, shapes)
    packed = optimizer.pack(jax.tree.map(np.asarray, current), np)
    return jax.tree.map(lambda leaf: parallel.place(leaf, sharding), packed)


def whole(optimizer: optim.Optimizer, current: State) -> State:
    """The inverse of `carried`, of a state on the devices; it shares no buffers with it."""
    if optimizer.packing is None:
        return current
    sharding = current.step.sharding
    unpacked = optimizer.unpack(jax.tree.map(np.array, current))
    return jax.tree.map(lambda leaf: parallel.place(leaf, sharding), unpacked)


def _placed(shapes: Any, mesh: jax.sharding.Mesh, fsdp: bool) -> Any:
    shardings = parallel.state_shardings(shapes, mesh, fsdp=fsdp)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )


def count_parameters(params: Params) -> dict[str, int]:
    """Trainable numbers by role, and in total."""
    roles = {role: sum(leaf.size for leaf in jax.tree.leaves(p)) for role, p in params.items()}
    return {"total": sum(roles.values()), **roles}
