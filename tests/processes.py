"""Trainings in processes of their own: how tests start and await them, and what they left."""

import json
import os
import re
import subprocess
import sys
import time

import jax
import numpy as np
from checkout import ROOT

from vdp import build
from vdp.data import datasets
from vdp.record import read_run
from vdp.runtime import parallel
from vdp.training import state
from vdp.training.checkpoint import Checkpoints

COMMAND = [
    "--config=digits_vae:smoke",
    "--config.train.steps=60",
    "--config.train.batch_size=64",  # which passes two epochs
    "--config.eval.every=20",
    "--config.eval.estimators=elbo",
    "--config.log.tensorboard=False",
]
FLAGS = (
    "--xla_force_host_platform_device_count={} "
    "--xla_cpu_collective_call_terminate_timeout_seconds=60 " + os.environ["XLA_FLAGS"]
)


def final_state(workdir, step=None):
    """Every leaf of a checkpoint, as numpy."""
    stored = read_run(workdir).settings
    facts = datasets.describe(stored.data)
    model = build.model(stored.model, facts)
    _, template = state.template(stored, model, facts.shape, parallel.make_mesh())
    checkpoints = Checkpoints(workdir, read_only=True)
    restored = checkpoints.restore(step or checkpoints.steps[-1], template)
    return jax.tree.map(np.asarray, restored)


def assert_bitwise(a, b):
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        assert x.tobytes() == y.tobytes(), jax.tree_util.keystr(path)


def metrics(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    drop = ("train/steps_per_second", "train/seconds")
    return [{k: v for k, v in json.loads(line).items() if k not in drop} for line in lines]


def start(workdir, *argv, code=None):
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "vdp.main"]
    return subprocess.Popen(
        [*command, *COMMAND, f"--workdir={workdir}", *argv],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for(condition, process, seconds=120):
    deadline = time.time() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.time() < deadline
        time.sleep(0.01)


def stopped_at(err):
    """The step SIGTERM stopped, between two steps or before a validation; one for all processes."""
    (step,) = set(re.findall(r"stopped by SIGTERM at step (\d+)", err))
    return int(step)


def environment(devices, **extra):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "XLA_FLAGS": FLAGS.format(devices), "PYTHONPATH": path, **extra}


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
