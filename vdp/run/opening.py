"""From a run's folder to a `Run`, and from parameters of one's own to such a folder."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import config_dict

from vdp import build, config
from vdp.data import datasets, identity
from vdp.errors import UserError
from vdp.metrics import score
from vdp.metrics.batched import Batched
from vdp.run.opened import Run
from vdp.runtime import files, interruption, parallel
from vdp.settings import Settings
from vdp.settings.parse import parse
from vdp.training import state
from vdp.training.checkpoint import Checkpoints, Damaged, saved_steps
from vdp.types import Model, Params, Stats


def restore(settings: Settings, record: config.Record, which: str | int) -> Run[Model]:
    """Opens one checkpoint of a run, on whatever devices there are.

    Args:
      settings: what is asked for, usually the run's own.
      record: what the run has stored of itself.
      which: "best" (by validation score), "latest" or a step.

    Raises:
      UserError: no such checkpoint, a damaged one, or one of another architecture.
    """
    mesh, facts = parallel.make_mesh(), _facts(settings, record)
    model = build.model(settings.model, facts)
    template = state.evaluated_template(settings, model, facts.shape, mesh)
    checkpoints = Checkpoints(record.workdir, score=score.score_of(model), read_only=True)
    try:
        interruption.check()
        step = checkpoints.resolve(which)
        restored = checkpoints.restore_evaluated(step, template)
    except Damaged as error:
        others = [other for other in checkpoints.steps if other != step]
        hint = f"; other checkpoints: {', '.join(map(str, others))}" if others else ""
        raise UserError(f"{error} in {checkpoints.folder}{hint}") from error
    finally:
        checkpoints.close()
    interruption.check()
    return Run(
        settings=settings,
        model=model,
        params=restored.ema,
        stats=restored.ema_stats,
        step=int(restored.step),
        facts=facts,
        batched=Batched(mesh, settings.eval.batch_size, settings.eval.seed),
        trained=record.settings,
        hashes=record.hashes,
    )


def _facts(settings: Settings, record: config.Record) -> datasets.Facts:
    """Those of the images that are asked for, which have to fit the run's model."""
    if record.data is None:
        return datasets.describe(settings.data)
    if record.settings.data.name == settings.data.name:
        return datasets.recall(record.data, settings.data)
    facts = datasets.describe(settings.data)
    identity.check_fits(facts, datasets.recall(record.data, settings.data), settings.data)
    return facts


def load(workdir: str | pathlib.Path, step: str | int = "best") -> Run[Model]:
    """Opens a run for scoring and sampling in Python.

    Args:
      workdir: the folder a training run wrote.
      step: "best" (by validation score), "latest" or a step number.

    Raises:
      UserError: no run is there, or no such checkpoint.
    """
    record = config.read_run(workdir)
    return restore(record.settings, record, step)


def create(
    workdir: str | pathlib.Path,
    settings: Settings | config_dict.ConfigDict,
    params: Params,
    stats: Stats,
) -> Run[Model]:
    """Makes a run of parameters that come from elsewhere, as of another program's weights.

    The run is at step 0 with a fresh optimiser: it is evaluated, sampled, and trained on, like any.

    Args:
      workdir: a folder without a run.
      settings: the config that the parameters belong to.
      params: trainable parameters by role, float32, with the paths and shapes of
        `--mode=describe --parameters`.
      stats: constants and running statistics by role; empty dicts may be left out.

    Raises:
      UserError: a run is there, or a path or shape is not the model's; the first is named.
    """
    chosen = settings if isinstance(settings, Settings) else parse(settings)
    folder = files.located(workdir)
    if saved_steps(folder):
        raise UserError(f"{folder} holds a run already: name another folder")
    facts, mesh = datasets.describe(chosen.data), parallel.make_mesh()
    model = build.model(chosen.model, facts)
    optimizer, template = state.template(chosen, model, facts.shape, mesh)
    given = {
        "parameter": (template.params, params),
        "statistic": (template.stats, {role: {} for role in template.stats} | dict(stats)),
    }
    trees = {what: _fitting(what, *pair) for what, pair in given.items()}
    place = lambda tree, like: jax.tree.map(lambda x, s: jax.device_put(x, s.sharding), tree, like)
    start = state.State(
        step=jnp.int32(0),
        params=place(trees["parameter"], template.params),
        stats=place(trees["statistic"], template.stats),
        opt_state=optimizer.init(trees["parameter"]),
        ema=place(trees["parameter"], template.ema),
        ema_stats=place(trees["statistic"], template.ema_stats),
        bad_steps=jnp.int32(0),
    )
    with files.opened(folder, in_use=lambda: False):
        checkpoints = Checkpoints(folder, score=score.score_of(model))
        checkpoints.save(start, metric=None)
        checkpoints.close()
        counted = state.count_parameters(start.params)
        config.write_run(folder, chosen, counted, dataclasses.asdict(facts.info), hashes={})
    return load(folder, "latest")


def _fitting(what: str, template: Any, given: Any) -> Any:
    """The leaves of `given` as arrays of the template's types; UserError where they do not fit."""
    path = lambda p: jax.tree_util.keystr(p, simple=True, separator="/")
    wanted = {path(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(template)}
    leaves = {path(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(given)}
    for name in sorted(wanted.keys() ^ leaves.keys()):
        missing = "is missing" if name in wanted else "is none of this model"
        raise UserError(f"the {what} {name} {missing}")
    for name, leaf in leaves.items():
        if jnp.shape(leaf) != wanted[name].shape:
            raise UserError(
                f"the {what} {name} has the shape {jnp.shape(leaf)} where {wanted[name].shape} is "
                "needed"
            )
    arrays = [jnp.asarray(leaves[name], wanted[name].dtype) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(template), arrays)
