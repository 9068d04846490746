"""Trains a model: data, model and state, the loop, and the final evaluation."""

import dataclasses
import pathlib
import platform
import subprocess
import time
from importlib import metadata

import jax

from vdp import __version__, build, evaluate, parallel, sample, state
from vdp import config as configs
from vdp import workdir as files
from vdp.checkpoint import Checkpoints
from vdp.data import load as data_load
from vdp.errors import UserError
from vdp.loop import Loop, Preemption
from vdp.report import Progress, duration
from vdp.run import Evaluator, Run, load, restore, state_template


def train(config, workdir: pathlib.Path) -> dict | None:
    """Trains, or continues, the run in `workdir` and evaluates it.

    Args:
      config: the full config.
      workdir: created where needed; locked while this runs.

    Returns:
      The evaluation of the best checkpoint on the test split.

    Raises:
      UserError: anything the user can mend; what was saved stays.
      Interrupted: after SIGTERM, saved.
    """
    if not parallel.is_writer():
        return _train(config, workdir)
    files.prepare(workdir)
    with files.lock(workdir):
        return _train(config, workdir)


def _train(config, workdir: pathlib.Path) -> dict | None:
    started = time.perf_counter()
    mesh = parallel.make_mesh()
    _check(config, mesh)
    dataset = data_load.load(config.data)
    facts = dataset.facts
    model = build.model(config, facts)
    optimizer, template = state_template(config, model, facts.shape, mesh)
    parameters = state.count_parameters(template.params)
    _write_config(config, workdir, parameters, facts)
    progress = Progress("training", config.train.steps, enabled=parallel.is_writer())
    checkpoints = Checkpoints(workdir, keep_latest=config.checkpoint.keep_latest)
    preemption = Preemption()
    try:
        current = checkpoints.restore_latest(template, warn=progress.say)
        fresh = current is None
        if fresh:
            current = _start(config, model, optimizer, template, dataset)
        first = int(current.step)
        evaluator = Evaluator(mesh, config.eval.batch_size, config.eval.seed)
        run = Run(
            config=config,
            model=model,
            params=current.ema,
            stats=current.ema_stats,
            step=first,
            facts=facts,
            evaluator=evaluator,
        )
        if first >= config.train.steps:
            progress.say(f"{workdir}: already trained for {first} steps")
        else:
            progress.say(
                f"{workdir}: {parameters['total']:,} parameters, "
                f"{len(dataset.splits['train'])} training images, "
                f"{jax.device_count()} x {jax.devices()[0].device_kind}"
                + (f", resuming at step {first}" if first else "")
            )
            loop = Loop(run, optimizer, dataset, mesh, workdir, checkpoints, progress, preemption)
            loop.run(current, fresh=fresh)
        del current
        checkpoints.close()
        progress.close()
        preemption.training_is_saved()
        return _finish(config, workdir, dataset, progress, started)
    finally:
        preemption.release()
        progress.close()
        checkpoints.close()


def _finish(config, workdir, dataset, progress, started) -> dict | None:
    path = workdir / "eval.json"
    final = config.copy_and_resolve_references()
    final.eval.checkpoint, final.eval.split = "best", "test"
    trained = restore(final, workdir, "best")
    sample.write_curves(trained, workdir)
    if path.exists():
        result = files.read_json(path, path.name)
        if result.get("step") == trained.step:
            progress.say(f"{path} is there: nothing left to do")
            return result
    sample.write_samples(trained, workdir)
    sample.write_reconstructions(trained, workdir, dataset)
    result = evaluate.evaluate(trained, workdir, dataset)
    for line in evaluate.describe_result(result):
        progress.say(line)
    elapsed = duration(time.perf_counter() - started)
    progress.say(f"done in {elapsed}: {path}, {workdir / 'samples'}, {workdir / 'plots'}")
    return result


def _check(config, mesh) -> None:
    parallel.check_batch_size(mesh, config.train.batch_size, "train.batch_size")
    for field in ("train.steps", "log.every", "eval.every"):
        section, name = field.split(".")
        if config[section][name] < 1:
            raise UserError(f"config.{field} must be at least 1, not {config[section][name]}")
    evaluate.check(config.eval)
    if config.model.get("training") == "prior" and not config.train.init_from:
        raise UserError(
            "training=prior is the second of two stages: name the first stage's workdir in "
            "--config.train.init_from"
        )
    if config.train.steps_per_dispatch < 0:
        raise UserError("config.train.steps_per_dispatch must be 0 (automatic) or more")
    if not 0 <= config.train.ema_decay < 1:
        raise UserError(f"config.train.ema_decay={config.train.ema_decay} must lie in [0, 1)")


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
    return _first_stage(config, start) if config.train.init_from else start


def _first_stage(config, start: state.State) -> state.State:
    """Takes encoder and decoder, as evaluated, from the best checkpoint of another run."""
    first = load(config.train.init_from)

    def taken(role, new, old):
        shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
        if shapes(new) != shapes(old):
            raise UserError(
                f"train.init_from={config.train.init_from} has another {role}: use the same "
                "networks, latent size and likelihood"
            )
        return jax.tree.map(lambda n, o: jax.device_put(n, o.sharding), new, old)

    def replaced(old, new):
        roles = ("encoder", "decoder")
        return old | {role: taken(role, new[role], old[role]) for role in roles}

    return start.replace(
        params=replaced(start.params, first.params),
        ema=replaced(start.ema, jax.tree.map(jax.numpy.copy, first.params)),
        stats=replaced(start.stats, first.stats),
        ema_stats=replaced(start.ema_stats, jax.tree.map(jax.numpy.copy, first.stats)),
    )
