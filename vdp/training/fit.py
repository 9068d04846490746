"""Fits a model: its state, new or from a checkpoint, and the loop over its steps."""

import dataclasses
import pathlib
from collections.abc import Callable

import jax

from vdp import build, config
from vdp.data import datasets
from vdp.data.transforms import batch_shapes
from vdp.metrics import score
from vdp.runtime import parallel
from vdp.runtime.progress import Progress
from vdp.settings import Settings, compare
from vdp.training import state
from vdp.training.checkpoint import Checkpoints
from vdp.training.loop import Loop
from vdp.training.preemption import Preemption
from vdp.types import Generative, Model


def fit(
    settings: Settings,
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    progress: Progress,
    *,
    start_from: Callable[[state.State], state.State] = lambda start: start,
    on_validation: Callable[[Model, state.Evaluated], None] = lambda model, evaluated: None,
) -> None:
    """Trains, or continues, the run in `workdir` to its end; saved when it returns.

    The end is train.steps, or train.seconds of training where those come first.

    Args:
      settings: of the run.
      workdir: prepared and locked.
      dataset: of settings.data.
      progress: where to say how it goes.
      start_from: what becomes of a new state before its first step, as of a first stage.
      on_validation: called with the model and what is evaluated of it, when it is saved.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    check_batch_sizes(settings)
    mesh, facts = parallel.make_mesh(), dataset.facts
    model = build.model(settings.model, facts)
    _check_drawing(model, settings, facts.shape)
    optimizer, template = state.template(settings, model, facts.shape, mesh)
    parameters = state.count_parameters(template.params)
    _write_config(settings, workdir, parameters, facts)
    preemption = Preemption()
    keep = settings.checkpoint.keep_latest
    checkpoints = Checkpoints(workdir, score=score.score_of(model), keep_latest=keep)
    try:
        current = checkpoints.restore_latest(template, warn=progress.say)
        fresh = current is None
        if current is None:
            current = start_from(_new_state(settings, model, optimizer, template, dataset))
        first = int(current.step)
        loop = Loop(
            settings=settings,
            model=model,
            optimizer=optimizer,
            dataset=dataset,
            mesh=mesh,
            workdir=workdir,
            checkpoints=checkpoints,
            progress=progress,
            preemption=preemption,
            start=first,
            on_validation=lambda evaluated: on_validation(model, evaluated),
        )
        if loop.at_end(first) and not loop.owes_validation:
            progress.say(f"{workdir}: already trained for {first} steps")
            return
        progress.say(
            f"{workdir}: {parameters['total']:,} parameters, "
            f"{len(dataset.splits['train'])} training images, "
            f"{jax.device_count()} x {jax.devices()[0].device_kind}"
            + (f", resuming at step {first}" if first else "")
        )
        loop.run(current, fresh=fresh)
    finally:
        preemption.release()
        checkpoints.close()


def check_batch_sizes(settings: Settings) -> None:
    """Refuses batches that do not fall evenly on the devices; UserError, before data is read."""
    mesh = parallel.make_mesh()
    for section in ("train", "eval"):
        size = getattr(settings, section).batch_size
        parallel.check_batch_size(mesh.size, size, f"config.{section}.batch_size")


def _check_drawing(model: Model, settings: Settings, x_shape) -> None:
    """Refuses what could be neither trained nor sampled; nothing is computed."""
    if isinstance(model, Generative):
        build.check_sampler(model, settings.sample.options())
    batch = batch_shapes(settings.train.batch_size, x_shape)
    jax.eval_shape(lambda batch: model.draw(jax.random.key(0), batch, purpose="loss"), batch)


def _write_config(settings: Settings, workdir: pathlib.Path, parameters, facts) -> None:
    stored = (workdir / config.RUN_FILE).exists()
    if stored and any((workdir / "checkpoints").glob("[0-9]*")):  # else nothing is to be protected
        compare.check_resumable(config.read_run(workdir).settings, settings)
    if parallel.is_writer():
        config.write_run(workdir, settings, parameters, dataclasses.asdict(facts.info))


def _new_state(settings: Settings, model, optimizer, template, dataset) -> state.State:
    facts = dataset.facts
    _, images = datasets.fixed_images(dataset.splits["train"], facts, settings.data)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, template)

    def create(rng, images):
        return state.create(model, optimizer, rng, facts.shape, data=images)

    create = jax.jit(create, out_shardings=shardings)
    return create(jax.random.key(settings.seed), images)
