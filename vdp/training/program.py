"""The training program: steps of one dispatch, compiled as they run."""

import math
from collections.abc import Callable
from typing import Any

import jax

from vdp.data import transforms
from vdp.runtime import backend, parallel
from vdp.settings import Settings
from vdp.training import step
from vdp.training.optim import Optimizer
from vdp.types import Model

DISPATCHES = range(10, 101)  # lengths to choose from on accelerators


def chunk_steps(settings: Settings) -> int:
    """Steps of one dispatch: as the settings say, else 1 on CPU and at most 100 on accelerators.

    There it is one that train.steps, and where there is such a one eval.every too, are multiples
    of: validations come when they are due, and no last dispatch needs a program of its own.
    """
    train = settings.train
    if train.steps_per_dispatch or backend.on_cpu():
        return train.steps_per_dispatch or 1
    for number in (math.gcd(train.steps, settings.eval.every), train.steps):
        if fitting := [steps for steps in DISPATCHES if number % steps == 0]:
            return fitting[-1]
    return DISPATCHES[-1]


def chunk(
    settings: Settings,
    model: Model,
    optimizer: Optimizer,
    levels: int,
    current: Any,
    mesh: jax.sharding.Mesh,
    *,
    num_steps: int,
    transform: Callable | None = None,
) -> jax.stages.Wrapped:
    """The jitted (state, feed) -> (state, metrics [num_steps]) of a run; the state is donated.

    Args:
      settings: of the run.
      model: what is trained.
      optimizer: of `vdp.training.optim.make`.
      levels: of the images as they are stored.
      current: the state, or its shapes, whose shardings the new one keeps.
      mesh: the devices.
      num_steps: K.
      transform: (images, labels, rng) -> Batch; None is that of the settings.
    """
    steps = step.make_chunk(
        model,
        optimizer,
        transform or transforms.make(settings.data, levels),
        seed=settings.seed,
        batch_size=settings.train.batch_size,
        num_steps=num_steps,
        ema_decay=settings.train.ema_decay,
        ema_warmup=settings.train.ema_warmup,
        microbatches=settings.train.microbatches,
        rolled=not backend.on_cpu(),
        constrain=parallel.batch_constraint(mesh),
    )
    shardings = jax.tree.map(lambda leaf: leaf.sharding, current)
    placed = (shardings, parallel.replicated(mesh))
    return jax.jit(steps, donate_argnums=0, out_shardings=placed)
