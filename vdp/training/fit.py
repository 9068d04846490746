"""Fits a model: its state, new or from a checkpoint, and the loop over its steps."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
from jaxtyping import UInt8

from vdp import build
from vdp.data import datasets, identity
from vdp.data.transforms import batch_shapes
from vdp.errors import UserError
from vdp.metrics import score
from vdp.record import PATH_KINDS, RUN_FILE, Extension, Record, read_run, write_run
from vdp.runtime import interruption, parallel, sources, uncompiled
from vdp.runtime.progress import Progress
from vdp.settings import Settings, compare
from vdp.settings.parse import to_json
from vdp.training import first_stage, optim, state
from vdp.training.checkpoint import Checkpoints, saved_steps
from vdp.training.loop import Loop
from vdp.types import Array, Generative, Model


def fit(
    settings: Settings,
    workdir: pathlib.Path,
    dataset: datasets.Dataset,
    progress: Progress,
    *,
    start_from: Callable[[state.State], state.State] = lambda start: start,
    on_start: Callable[[], None] = lambda: None,
    on_validation: Callable[[Model, state.Evaluated], Sequence[pathlib.Path]] = lambda *_: (),
) -> None:
    """Trains, or continues, the run in `workdir` to its end; saved when it returns.

    The end is train.steps, or train.seconds of training or train.patience where those come first.

    Args:
      settings: of the run.
      workdir: prepared and locked.
      dataset: of settings.data.
      progress: where to say how it goes.
      start_from: what becomes of a new state before its first step, as of a first stage.
      on_start: called before the first step, when nothing is refused any more.
      on_validation: called with the model and what is evaluated of it, when it is saved; returns
        where it has put pictures of it, PNG files, which are logged.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    check_batch_sizes(settings)
    mesh, facts = parallel.make_mesh(), dataset.facts
    model = build.model(settings.model, facts)
    _check_drawing(model, settings, facts.shape)
    optimizer, template = state.template(settings, model, facts.shape, mesh)
    first_stage.check_frozen(settings, template.params)
    parameters = state.count_parameters(template.params)
    hashes = identity.hashes(dataset)
    _check_alike(settings, hashes)
    earlier = _earlier(settings, workdir, hashes)
    checkpoints = Checkpoints(
        workdir,
        score=score.score_of(model),
        keep_latest=settings.checkpoint.keep_latest,
        warn=progress.say,
    )
    try:
        interruption.check()
        current = checkpoints.restore_latest(template)
        interruption.check()
        fresh = current is None
        if current is None:
            current = start_from(new_state(settings, model, optimizer, template, dataset))
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
            start=first,
            on_validation=lambda evaluated: on_validation(model, evaluated),
        )
        extensions = extended(settings, earlier, first, progress.say) if earlier else []
        owed = fresh or loop.owes_validation()
        finished = not owed and loop.at_end(first)
        if parallel.is_writer():  # nothing that comes refuses this run
            info, own = dataclasses.asdict(facts.info), settings
            if earlier and finished:  # whose result may answer what is asked now, and more
                own = settings.replace(eval=dataclasses.asdict(earlier.settings.eval))
            write_run(
                workdir,
                own,
                parameters,
                info,
                hashes=hashes,
                counts={name: len(split) for name, split in dataset.splits.items()},
                extensions=extensions,
                hardware=earlier.hardware if earlier and finished else parallel.hardware(),
            )
        if finished:
            progress.say(f"{workdir}: already trained for {first} steps")
            return
        on_start()
        progress.say(
            f"{workdir}: {parameters['total']:,} parameters, "
            f"{len(dataset.splits['train'])} training images, "
            f"{jax.device_count()} x {jax.devices()[0].device_kind}"
            + (f", resuming at step {first}" if first else "")
        )
        for line in uneven(settings, loop.chunk_steps):
            progress.say(line)
        loop.run(current, fresh=fresh, owed=owed)
    finally:
        checkpoints.close()


def uneven(settings: Settings, chunk: int) -> list[str]:
    """One line for each thing that falls inside a dispatch of `chunk` steps and has to wait."""
    wanted = {
        "validates": ("eval.every", settings.eval.every),
        "saves": ("checkpoint.every", settings.checkpoint.every),
    }
    lines = [
        f"{field}={every}: {does} at multiples of {chunk} steps and at the last, where dispatches "
        f"end (train.steps_per_dispatch={math.gcd(chunk, every)} would keep to it)"
        for does, (field, every) in wanted.items()
        if 0 < every < settings.train.steps and every % chunk
    ]
    if settings.log.profile_steps and settings.train.steps <= chunk:
        lines.append(
            f"log.profile_steps={settings.log.profile_steps}: the first dispatch compiles and is "
            "not traced, and there is no other (train.steps_per_dispatch=1 makes some)"
        )
    return lines


def _check_alike(settings: Settings, hashes: Mapping[str, str]) -> None:
    """Refuses processes that would train on other images, or otherwise; UserError, in all."""
    same = to_json(settings)
    for section in ("notes", "log", "describe", "codec"):
        del same[section]
    for place in ("name", *compare.PLACES):  # the hashes say what lies there
        del same["data"][place]
    if not parallel.alike(json.dumps([dict(hashes), same], sort_keys=True)):
        raise UserError(
            "the processes of this run have other images or settings each: give all of them the "
            "same data and the same command"
        )


def check_batch_sizes(settings: Settings) -> None:
    """Refuses batches that do not fall evenly on the devices; UserError, before data is read."""
    mesh = parallel.make_mesh()
    for name, microbatches in (("train", settings.train.microbatches), ("eval", 1)):
        size, field = getattr(settings, name).batch_size, f"config.{name}.batch_size"
        parallel.check_batch_size(mesh.size, size, field, microbatches=microbatches)


def _check_drawing(model: Model, settings: Settings, x_shape: tuple[int, int, int]) -> None:
    """Refuses what could be neither trained nor sampled; nothing is computed."""
    if isinstance(model, Generative):
        build.check_sampler(model, settings.sample.options())
    train = settings.train
    for size in {train.batch_size, train.batch_size // train.microbatches}:
        batch = batch_shapes(size, x_shape)
        noise = jax.eval_shape(
            lambda batch: model.draw(jax.random.key(0), batch, purpose="loss"), batch
        )
        for leaf in jax.tree.leaves(noise) if train.microbatches > 1 else ():
            if leaf.shape[:1] != (size,):
                raise UserError(
                    f"train.microbatches={train.microbatches} splits noise by its images, and this "
                    f"model draws one of shape {list(leaf.shape)} for {size} images: set "
                    "train.microbatches=1"
                )


def _earlier(settings: Settings, workdir: pathlib.Path, hashes: Mapping[str, str]) -> Record | None:
    """What the run that is to go on has stored of itself; None where none has begun.

    Raises:
      UserError: it is another run, its data or the code of its components has changed, or
        config.json is something else or gone.
    """
    begun = bool(saved_steps(workdir))
    if not (workdir / RUN_FILE).exists():
        if begun:
            raise UserError(
                f"{workdir} has checkpoints and no {RUN_FILE}, without which nothing says "
                "what run they are of: bring it back, or name another workdir"
            )
        return None
    record = read_run(workdir)
    if not begun:
        return None
    stored, now = record.settings, settings.data.name or ""
    of_files = all((n or "").partition(":")[0] in PATH_KINDS for n in (stored.data.name, now))
    if of_files and record.hashes == hashes:  # the same images, wherever they lie
        stored = stored.replace(data=dict(name=now))
    if compare.chosen_otherwise(stored, settings):  # it is the images that are others
        identity.check_same(record.hashes, hashes, settings.data)
    compare.check_resumable(stored, settings, run=str(workdir))
    identity.check_same(record.hashes, hashes, settings.data)
    for path, copy in sources.changed(workdir).items():
        raise UserError(
            f"{path} has changed since the run in {workdir} began, whose copy is {copy}: train in "
            "another workdir, or remove that copy to go on with the file as it is now"
        )
    return record


def extended(
    settings: Settings, earlier: Record, step: int, say: Callable[[str], None]
) -> list[Extension]:
    """The run's extensions, with one more where train.steps has grown; says what that does.

    Args:
      settings: now.
      earlier: what the run has stored.
      step: where it goes on; what it was extended by after that step is trained anew.
      say: hears of the learning rate with both schedules.
    """
    before, now = earlier.settings.train.steps, settings.train.steps
    known = [Extension(min(e.step, step), e.steps_before) for e in earlier.extensions]
    if before == now or not step:
        return known
    old, new = (float(optim.learning_rate(settings.optim, total)(step)) for total in (before, now))
    say(
        f"train.steps was {before} and is {now}: the learning rate goes on from step {step} with "
        f"{new:g}, where the schedule of {before} steps has {old:g}"
    )
    return [*known, Extension(step, before)]


def new_state(
    settings: Settings,
    model: Model,
    optimizer: optim.Optimizer,
    template: state.State,
    dataset: datasets.Dataset,
) -> state.State:
    """The state at step 0 of a run, placed as the template says.

    Args:
      settings: of the run.
      model: what is trained.
      optimizer: of `vdp.training.optim.make`.
      template: of `vdp.training.state.template`.
      dataset: of `settings.data`; a model may start from its training images.
    """
    facts = dataset.facts
    _, images = datasets.fixed_images(dataset.splits["train"], facts, settings.data)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, template)

    def create(rng: Array, images: UInt8[Array, "n h w c"]) -> state.State:
        return state.create(model, optimizer, rng, facts.shape, data=images)

    start = uncompiled.evaluated(create)(jax.random.key(settings.seed), images)
    return jax.tree.map(parallel.place, start, shardings)
