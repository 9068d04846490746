"""What a new run starts with of another one: its encoder and decoder, or all that fits.

Parameters and running statistics are taken as they are evaluated, averaged; the optimiser, the
schedule of the learning rate and the average start anew. train.init_parts says what is taken:

- encoder_decoder: for a prior fitted afterwards, on the same images.
- all: the prior as well, for going on with other images, another rate or another objective. The
  first run has already trained with the rate, so the KL warm-up is not repeated; where that
  run was still inside its own warm-up, the line says what weight the rate had come to.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vdp.data import identity
from vdp.data.datasets import Facts
from vdp.errors import UserError
from vdp.settings import Settings, compare
from vdp.settings.parse import to_json
from vdp.training.state import Evaluated, State
from vdp.types import Params

AUTOENCODER = ("encoder", "decoder", "pseudoinput")  # the roles that are not the prior's
FREE = (  # fields of a model that say how it is trained or estimated, or where it starts
    *compare.ESTIMATED,
    "beta", "kl_warmup_steps", "free_bits", "training", "code_log_var",
    "encoder.dropout", "decoder.dropout", "encoder.remat", "decoder.remat",
    "prior.train_times", "prior.weights", "prior.times", "prior.denoiser.dropout",
    "prior.denoiser.remat", "prior.bound", "prior.reverse", "prior.teacher_steps",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other:
    """What has to be known of the run in train.init_from.

    Attributes:
      settings: it was trained with.
      facts: of its data.
      evaluated: the parameters and statistics of its best checkpoint.
      same_images: whether this run's images are the same.
      changed: the splits whose images are others now.
    """

    settings: Settings
    facts: Facts
    evaluated: Evaluated
    same_images: bool
    changed: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The roles that are taken, and why the prior is not where it is left."""

    roles: tuple[str, ...]
    left: str = ""


def plan(settings: Settings, other: Other, facts: Facts) -> Plan:
    """What this run takes of another one.

    Args:
      settings: of this run.
      other: the run in settings.train.init_from.
      facts: of this run's data.

    Raises:
      UserError: its encoder and decoder are not those of this run: the fields that differ are
        listed; or its images are others than train.init_parts allows.
    """
    where = f"train.init_from={settings.train.init_from}"
    there, here = to_json(other.settings), to_json(settings)
    table = here["model"].get("prior", {}).get("name") == "ddpm"  # with as many betas as steps
    free = [f"model.{field}" for field in (FREE if table else (*FREE, "prior.num_steps"))]
    found = compare.of_kinds(compare.differences(there, here, free=free, only=["model"]))
    changed = {field.removeprefix("model."): values for field, values in found.items()}
    of_prior = {f: v for f, v in changed.items() if f == "prior" or f.startswith("prior.")}
    listed = _listed({field: v for field, v in changed.items() if field not in of_prior})
    there_are = other.evaluated.ema
    every = tuple(dict.fromkeys([*(r for r in AUTOENCODER if r in there_are), *there_are]))
    if settings.train.init_parts == "encoder_decoder":
        if not {"encoder", "decoder"} <= set(every):
            raise UserError(f"the run of {where} has no encoder and decoder to take")
        if listed or not other.same_images:
            raise UserError(f"{where} is another autoencoder: {listed or 'its images differ'}")
        roles = tuple(role for role in AUTOENCODER if role in every)
        return Plan(roles=roles, left="as train.init_parts=encoder_decoder says")
    if listed:
        raise UserError(f"{where} is another model: {listed}")
    if of_splits := compare.split_otherwise(other.settings.data, settings.data):
        raise UserError(
            f"{where} has trained with images that would be held out here: {_listed(of_splits)}"
        )
    if "test" in other.changed and compare.same_images(other.settings.data, settings.data):
        raise UserError(
            f"the images of {settings.data.name} have changed since {where} was trained, so that "
            "some that it has trained with can be held out here: bring them back, or give the "
            "data a test split of its own"
        )
    identity.check_fits(
        facts, other.facts, name=settings.data.name, model=where, otherwise="leave init_from out"
    )
    if not of_prior:
        return Plan(roles=every)
    roles = tuple(role for role in every if role != "prior")
    if not roles:
        raise UserError(f"{where} is another model: {_listed(of_prior)}")
    return Plan(roles=roles, left=f"for it is another: {_listed(of_prior)}")


def _listed(changes: compare.Changes) -> str:
    return "; ".join(f"{k} (there {old!r}, here {new!r})" for k, (old, new) in changes.items())


def in_words(settings: Settings, taken: Plan, other: Other) -> str:
    """One line: what was taken, from where, and what was left and why.

    Args:
      settings: of this run, as they are given.
      taken: of `plan`.
      other: the run it is taken of.
    """
    line = (
        f"train.init_from={settings.train.init_from}, step {other.evaluated.step}: "
        f"took {', '.join(taken.roles)} with their statistics; optimiser, learning rate and "
        "average start anew"
    )
    if taken.left:
        line += f"; left the prior, {taken.left}"
    if without_warmup(settings) != settings:
        line += "; the KL warm-up is not repeated"
        warmup, step = other.settings.kl_warmup, int(other.evaluated.step)
        if step < warmup:
            line += (
                f", although at step {step:,} that run was inside its own warm-up of {warmup:,} "
                f"steps: there the rate had {step / warmup:.2g} of its weight, and here it has its "
                "full weight from the first step on"
            )
    return line


def without_warmup(settings: Settings) -> Settings:
    """The settings of a run that goes on with all of another one: the rate has its full weight."""
    all_taken = settings.train.init_from and settings.train.init_parts == "all"
    if not (all_taken and settings.model.get("kl_warmup_steps")):
        return settings
    model = {**settings.model, "kl_warmup_steps": 0}
    return settings.replace(model=model, train=dict(kl_warmup_epochs=0.0))


def take(start: State, first: Evaluated, roles: tuple[str, ...]) -> State:
    """A new state with the parameters and statistics of these roles of another run, as evaluated.

    Raises:
      UserError: those of a role are of another structure, as an encoder's under the merged form.
    """

    def replaced(old: Params, new: Params) -> Params:
        place = lambda n, o: jax.device_put(n, o.sharding)
        both = [role for role in roles if role in new]
        for role in both:
            _check_structure(role, old.get(role, {}), new[role])
        return old | {role: jax.tree.map(place, new[role], old[role]) for role in both}

    return dataclasses.replace(
        start,
        params=replaced(start.params, first.ema),
        ema=replaced(start.ema, jax.tree.map(jnp.copy, first.ema)),
        stats=replaced(start.stats, first.ema_stats),
        ema_stats=replaced(start.ema_stats, jax.tree.map(jnp.copy, first.ema_stats)),
    )


def _check_structure(role: str, old: Any, new: Any) -> None:
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    if shapes(old) != shapes(new):
        raise UserError(
            f"the {role} of the run in train.init_from has other parameters than this run's, as "
            "under a prior of the merged form: train that run with form=separate"
        )


def check_frozen(settings: Settings, params: Params) -> None:
    """Refuses training=prior where the optimiser would move anything else; UserError.

    Args:
      settings: of the run.
      params: its parameters by role, or their shapes.
    """
    if settings.model.get("training") != "prior":
        return
    others = [role for role in params if role != "prior" and jax.tree.leaves(params[role])]
    groups = settings.optim.groups
    inside = [part for part in groups if "/" in part and part.split("/")[0] in others]
    moved = [part for part in (*others, *inside) if groups.get(part, 1)]
    if moved:
        raise UserError(
            "training=prior holds all but the prior, as the variant of that name does: set "
            + " and ".join(f"config.optim.groups.{part}=0" for part in moved)
        )
