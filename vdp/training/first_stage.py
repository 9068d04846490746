"""The second of two stages: a new run takes encoder and decoder from another one."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.errors import UserError
from vdp.settings import Settings, compare
from vdp.settings.parse import to_json
from vdp.training.state import Evaluated, State
from vdp.types import Params

ROLES = ("encoder", "decoder")
FIELDS = ("name", "encoder", "decoder", "likelihood", "latent_shape", "log_var_floor")  # of a model


def check(settings: Settings, other: Settings, *, same_images: bool) -> None:
    """Refuses an encoder and decoder that are not those of this run.

    Args:
      settings: of this run.
      other: of the run in settings.train.init_from.
      same_images: whether the facts of both runs' data are the same.

    Raises:
      UserError: the fields that differ are listed.
    """
    there, here = to_json(other)["model"], to_json(settings)["model"]
    changed = compare.differences(there, here, only=FIELDS)
    if changed or not same_images:
        listed = "; ".join(
            f"{k} (there {old!r}, here {new!r})" for k, (old, new) in changed.items()
        )
        raise UserError(
            f"train.init_from={settings.train.init_from} is another autoencoder: "
            f"{listed or 'its images differ'}"
        )


def take(start: State, first: Evaluated) -> State:
    """A new state with encoder and decoder, as evaluated, of another run.

    Raises:
      UserError: the other run has no encoder and decoder.
    """
    if not set(ROLES) <= first.ema.keys():
        raise UserError("the run of train.init_from has no encoder and decoder to take")

    def replaced(old: Params, new: Params) -> Params:
        place = lambda n, o: jax.device_put(n, o.sharding)
        return old | {role: jax.tree.map(place, new[role], old[role]) for role in ROLES}

    return dataclasses.replace(
        start,
        params=replaced(start.params, first.ema),
        ema=replaced(start.ema, jax.tree.map(jnp.copy, first.ema)),
        stats=replaced(start.stats, first.ema_stats),
        ema_stats=replaced(start.ema_stats, jax.tree.map(jnp.copy, first.ema_stats)),
    )
