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
from vdp.run import Evaluator, Run, restore, state_template


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
            stats=current.stats,
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
    if path.exists():
        result = files.read_json(path, path.name)
        if result.get("step") == trained.step:
            progress.say(f"{path} is there: nothing left to do")
            return result
    sample.write_samples(trained, workdir)
    sample.write_reconstructions(trained, workdir, dataset)
    sample.write_curves(trained, workdir)
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
    shape = dataset.facts.shape
    images = dataset.splits["train"].images
    shardings = jax.tree.map(lambda leaf: leaf.sharding, template)

    def create(rng):
        return state.create(model, optimizer, rng, shape, data=images)

    return jax.jit(create, out_shardings=shardings)(jax.random.key(config.seed))
