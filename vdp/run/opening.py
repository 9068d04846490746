"""From a run's folder to a `Run`, and from parameters of one's own to such a folder."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import config_dict

from vdp import build
from vdp.data import datasets, identity
from vdp.errors import UserError
from vdp.metrics import score
from vdp.metrics.batched import Batched
from vdp.record import PATH_KINDS, RESULT, RUN_FILE, Record, read_run, write_run
from vdp.run import calibration, located, weights
from vdp.run.opened import Run
from vdp.runtime import files, interruption, parallel, sources
from vdp.runtime.metric_log import METRICS_FILE
from vdp.settings import Data, Settings, compare
from vdp.settings.parse import parse
from vdp.training import state
from vdp.training.checkpoint import FOLDER as CHECKPOINTS
from vdp.training.checkpoint import Checkpoints, Damaged, saved_steps
from vdp.types import Classifying, Model, Params, Stats

logger = logging.getLogger("vdp")


def restore(settings: Settings, record: Record, which: str | int) -> Run[Model]:
    """Opens one checkpoint of a run, or exported weights, on whatever devices there are.

    Args:
      settings: what is asked for, usually the run's own.
      record: what the run has stored of itself.
      which: "best" (by validation score; of a student the newest), "latest" or a step.

    Raises:
      UserError: no such checkpoint, a damaged one, one of another architecture, or a component of
        one's own whose module is neither there nor kept with the run.
    """
    mesh = parallel.make_mesh()
    with sources.available(record.workdir, settings.model):
        facts = _facts(settings, record)
        model = build.model(settings.model, facts)
        template = state.evaluated_template(settings, model, facts.shape, mesh)
        evaluated = _checkpoint if record.weights is None else _exported
        restored = evaluated(record, model, template, which)
    interruption.check()
    run = Run(
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
    return calibration.restored(run, record.workdir)


def record_of(workdir: pathlib.Path, settings: Settings) -> Record:
    """What a run has stored of itself, for settings that are its own but for how it is estimated.

    Its images are known by the name that they have in these settings, as `recognised` does it. If
    they cannot be read, that is said where they are needed.

    Raises:
      UserError: no run, or one of other settings.
    """
    record = read_run(workdir)
    trained, now = record.settings.data, settings.data
    compare.check_same_run(record.settings, settings)
    kinds = {(data.name or "").partition(":")[0] for data in (trained, now)}
    if compare.same_images(trained, now) or kinds.isdisjoint(PATH_KINDS):
        return record
    with contextlib.suppress(UserError):
        record = recognised(record, now)
    return record


def recognised(record: Record, data: Data) -> Record:
    """The record, which knows its images by the name that they have now.

    They are told by their hashes, wherever they lie and whatever they are called. What is drawn of
    images, as binarisation draws, stays the run's. Of any other data the record is as it was.

    Args:
      record: of a run.
      data: what is asked for now; it is read.

    Raises:
      UserError: as of `vdp.data.datasets.load`.
    """
    stored, now = record.settings, identity.hashes(identity.loaded(data))
    if not record.hashes or identity.changed(record.hashes, now):
        return record
    drawn = {field: getattr(stored.data, field) for field in compare.DRAWN}
    return dataclasses.replace(
        record, settings=stored.replace(data=dataclasses.asdict(data) | drawn)
    )


def _checkpoint(
    record: Record, model: Model, template: state.Evaluated, which: str | int
) -> state.Evaluated:
    checkpoints = Checkpoints(record.workdir, score=score.score_of(model), read_only=True)
    try:
        interruption.check()
        step = parallel.of_writer(checkpoints.resolve(which))
        checkpoints.check_seen(step)
        return checkpoints.restore_evaluated(step, template)
    except Damaged as error:
        others = [other for other in checkpoints.steps if other != step]
        hint = f"; other checkpoints: {', '.join(map(str, others))}" if others else ""
        raise UserError(f"{error} in {checkpoints.folder}{hint}") from error
    finally:
        checkpoints.close()


def _exported(
    record: Record, model: Model, template: state.Evaluated, which: str | int
) -> state.Evaluated:
    assert record.weights is not None
    weights.check_step(record, which)
    params, stats = weights.read(record)
    return state.Evaluated(
        step=jnp.int32(record.weights.step),
        ema=_placed(_fitting("parameter", template.ema, params), template.ema),
        ema_stats=_placed(_fitting("statistic", template.ema_stats, stats), template.ema_stats),
    )


def _facts(settings: Settings, record: Record) -> datasets.Facts:
    """Those of the images that are asked for, which have to fit the run's model."""
    if record.data is None:
        return datasets.describe(settings.data)
    trained, now = datasets.recall(record.data, record.settings.data), settings.data
    if record.settings.data.name != now.name:
        facts = datasets.describe(now)
        identity.check_fits(facts, datasets.recall(record.data, now), name=now.name)
        if isinstance(build.assemble(record.settings.model, trained), Classifying):
            identity.check_classes(facts, trained, name=now.name)
            known = trained.info.num_classes  # some of which may not be among these
            info = dataclasses.replace(facts.info, num_classes=known)
            facts = dataclasses.replace(facts, info=info)
        return facts
    facts = datasets.recall(record.data, now)
    if facts.levels != trained.levels:
        raise UserError(
            f"config.data.binarization={now.binarization} makes images of {facts.levels} levels, "
            f"where this run's model takes {trained.levels}: leave it as the run has it, "
            f"config.data.binarization={record.settings.data.binarization}"
        )
    return facts


def load(
    workdir: str | pathlib.Path,
    step: str | int = "best",
    *,
    data: str | pathlib.Path | Mapping[str, Any] | None = None,
) -> Run[Model]:
    """Opens a run, or what was exported of one, for scoring and sampling in Python.

    Components of one's own that are not there are imported from the copies in the run's folder:
    that runs code from it, as importing a module does.

    Args:
      workdir: the folder that a training run or `--mode=export` wrote.
      step: "best" (by validation score; of a student the newest), "latest" or a step number.
      data: where its images are now: a file, a folder, or a `config.data.name`; or fields of
        `config.data` by their names, as dict(name=PATH, resize="28x20"). They are read at once.
        Images that the run was trained with are recognised by their hashes, wherever they lie
        and whatever they are called; others are evaluated as others, where they fit the model.

    Raises:
      UserError: no run is there, no such checkpoint, its components or the data are not there, or
        the data would be split otherwise, so that images of its training were among the test's.
    """
    run = open_quietly(workdir, step, data=data)
    if calibration.is_missing(run):
        logger.warning(
            f"the chain of step {run.step} of {workdir} is not fitted to training images yet: "
            "importance weights, samples and files are of that with its own variances, until an "
            "evaluation of this checkpoint fits it"
        )
    return run


def open_quietly(
    workdir: str | pathlib.Path,
    step: str | int = "best",
    *,
    data: str | pathlib.Path | Mapping[str, Any] | None = None,
) -> Run[Model]:
    """As `load`, for parameters alone: without a word on a chain that is not fitted yet."""
    record = read_run(workdir)
    # what was trained on one number of devices is opened on any other
    even = parallel.next_multiple(record.settings.eval.batch_size, jax.device_count())
    record = dataclasses.replace(
        record, settings=record.settings.replace(eval=dict(batch_size=even))
    )
    settings = record.settings
    if data is not None:
        settings = settings.replace(data=located.fields(settings.data, data))
        compare.check_same_run(record.settings, settings)
        record = recognised(record, settings.data)
    return restore(settings, record, step)


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
      UserError: a run is there, or what one has left, or a path or shape is not the model's; the
        first is named.
    """
    chosen = settings if isinstance(settings, Settings) else parse(settings)
    folder = files.located(workdir)
    if saved_steps(folder) or (folder / weights.FILE).exists():
        raise UserError(f"{folder} holds a run already: name another folder")
    if left := [name for name in (METRICS_FILE, RESULT) if (folder / name).exists()]:
        raise UserError(
            f"{folder} holds {' and '.join(left)} of a run that is no more: name another folder"
        )
    facts, mesh = datasets.describe(chosen.data), parallel.make_mesh()
    model = build.model(chosen.model, facts)
    optimizer, template = state.template(chosen, model, facts.shape, mesh)
    given_stats = calibration.as_trained(dict(stats))
    given = {
        "parameter": (template.params, params),
        "statistic": (template.stats, {role: {} for role in template.stats} | given_stats),
    }
    trees = {what: _fitting(what, *pair) for what, pair in given.items()}
    start = state.State(
        step=jnp.int32(0),
        params=_placed(trees["parameter"], template.params),
        stats=_placed(trees["statistic"], template.stats),
        opt_state=optimizer.init(trees["parameter"]),
        ema=_placed(trees["parameter"], template.ema),
        ema_stats=_placed(trees["statistic"], template.ema_stats),
        bad_steps=jnp.int32(0),
    )
    made = (CHECKPOINTS, RUN_FILE, sources.FOLDER)
    with files.opened(folder, made=made, in_use=lambda: False):
        checkpoints = Checkpoints(folder, score=score.score_of(model))
        checkpoints.save(start, metric=None)
        checkpoints.close()
        counted = state.count_parameters(start.params)
        write_run(folder, chosen, counted, dataclasses.asdict(facts.info), hashes={})
    return load(folder, "latest")


def _fitting(what: str, template: Any, given: Any) -> Any:
    """The leaves of `given` as arrays of the template's types; UserError where they do not fit."""
    wanted, leaves = weights.leaves(template), weights.leaves(given)
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


def _placed(tree: Any, template: Any) -> Any:
    """The arrays on the devices, as the template's shardings say."""
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), tree, template)
