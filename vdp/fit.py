"""Fits a model: data, state and the loop; what a run writes before it is evaluated."""

import dataclasses
import pathlib
import platform
import subprocess
from importlib import metadata

import jax

from vdp import __version__, build, parallel, state
from vdp import config as configs
from vdp import workdir as files
from vdp.checkpoint import Checkpoints
from vdp.data import load as data_load
from vdp.errors import UserError
from vdp.evaluator import Evaluator
from vdp.loop import Loop, Preemption
from vdp.report import Progress
from vdp.run import Run, check_sampler, load, sampler_options, state_template


def fit(config, workdir: pathlib.Path, dataset, progress: Progress) -> None:
    """Trains, or continues, the run in `workdir` to its end; saved when it returns.

    The end is train.steps, or train.seconds of training where those come first.

    Args:
      config: the full config.
      workdir: prepared and locked.
      dataset: of config.data.
      progress: where to say how it goes.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    mesh = parallel.make_mesh()
    facts = dataset.facts
    model = build.model(config, facts)
    check_sampler(model, sampler_options(config.sample))
    optimizer, template = state_template(config, model, facts.shape, mesh)
    parameters = state.count_parameters(template.params)
    _write_config(config, workdir, parameters, facts)
    checkpoints = Checkpoints(workdir, keep_latest=config.checkpoint.keep_latest)
    preemption = Preemption()
    try:
        current = checkpoints.restore_latest(template, warn=progress.say)
        fresh = current is None
        if fresh:
            current = _start(config, model, optimizer, template, dataset)
        first = int(current.step)
        run = Run(
            config=config,
            model=model,
            params=current.ema,
            stats=current.ema_stats,
            step=first,
            facts=facts,
            evaluator=Evaluator(mesh, config.eval.batch_size, config.eval.seed),
        )
        loop = Loop(run, optimizer, dataset, mesh, workdir, checkpoints, progress, preemption)
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


def check(config) -> None:
    """Refuses what no training can be made of, before data is read."""
    for section in ("train", "eval"):
        size, name = config[section].batch_size, f"{section}.batch_size"
        parallel.check_batch_size(parallel.make_mesh(), size, name)
    least = {
        "train.steps": 1,
        "train.seconds": 0,
        "log.every": 1,
        "eval.every": 1,
        "checkpoint.every": 0,
        "train.steps_per_dispatch": 0,
        "checkpoint.keep_latest": 1,
        "sample.num": 1,
    }
    for field, minimum in least.items():
        section, name = field.split(".")
        if config[section][name] < minimum:
            raise UserError(
                f"config.{field} must be at least {minimum}, not {config[section][name]}"
            )
    if not 0 <= config.train.ema_decay < 1:
        raise UserError(f"config.train.ema_decay={config.train.ema_decay} must lie in [0, 1)")
    if config.model.get("training") == "prior":
        if not config.train.init_from:
            raise UserError(
                "training=prior is the second of two stages: name the first stage's workdir in "
                "--config.train.init_from"
            )
        if config.optim.groups.get("encoder", 1) or config.optim.groups.get("decoder", 1):
            raise UserError(
                "training=prior holds encoder and decoder: set optim.groups.encoder=0 and "
                "optim.groups.decoder=0, as the variant training=prior does"
            )


def _write_config(config, workdir: pathlib.Path, parameters: dict[str, int], facts) -> None:
    current = configs.to_json(config)
    path = workdir / configs.RUN_FILE
    if path.exists():
        stored = files.read_json(path, configs.RUN_FILE)
        if any((workdir / "checkpoints").glob("[0-9]*")):  # else there is nothing to protect
            configs.check_resumable(stored.get("config", {}), current)
    if not parallel.is_writer():
        return
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    versions = {name: metadata.version(name) for name in names}
    content = {
        "config": current,
        "versions": {"vdp": __version__, "python": platform.python_version(), **versions},
        "git_revision": _git_revision(),
        "parameters": parameters,
        "data": dataclasses.asdict(facts.info),
    }
    files.write_json(path, content)


def _git_revision() -> str | None:
    folder = pathlib.Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _start(config, model, optimizer, template, dataset) -> state.State:
    shape, facts = dataset.facts.shape, dataset.facts
    _, images = data_load.fixed_images(dataset.splits["train"], facts, config.data)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, template)

    def create(rng, images):
        return state.create(model, optimizer, rng, shape, data=images)

    start = jax.jit(create, out_shardings=shardings)(jax.random.key(config.seed), images)
    return _first_stage(config, start, facts) if config.train.init_from else start


def _first_stage(config, start: state.State, facts) -> state.State:
    """Takes encoder and decoder, as evaluated, from the best checkpoint of another run."""
    first = load(config.train.init_from)
    if not {"encoder", "decoder"} <= start.params.keys():
        raise UserError(
            f"model {config.model.name} has no encoder and decoder to take: no init_from"
        )
    fields = ("name", "encoder", "decoder", "likelihood", "latent_shape", "log_var_floor")
    there, here = (configs.to_json(one.model) for one in (first.config, config))
    changed = configs.differences(there, here, only=fields)
    if changed or first.facts != facts:
        listed = "; ".join(
            f"{k} (there {old!r}, here {new!r})" for k, (old, new) in changed.items()
        )
        raise UserError(
            f"train.init_from={config.train.init_from} is another autoencoder: "
            f"{listed or 'its images differ'}"
        )

    def replaced(old, new):
        place = lambda n, o: jax.device_put(n, o.sharding)
        roles = ("encoder", "decoder")
        return old | {role: jax.tree.map(place, new[role], old[role]) for role in roles}

    return start.replace(
        params=replaced(start.params, first.params),
        ema=replaced(start.ema, jax.tree.map(jax.numpy.copy, first.params)),
        stats=replaced(start.stats, first.stats),
        ema_stats=replaced(start.ema_stats, jax.tree.map(jax.numpy.copy, first.stats)),
    )
