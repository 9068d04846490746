"""Damage, foreign files, full disks, divergence: one clear sentence, and nothing lost."""

import gc
import json
import logging
import os
import resource
import subprocess
import sys

import pytest
from checkout import ROOT

SMOKE = "--config=digits_vae:smoke"


def test_foreign_and_damaged_run_files(refused, copied_run):
    (copied_run / "config.json").write_text('{"hello": 1}')
    refused("--mode=eval", f"--workdir={copied_run}", says=["config.json"])
    (copied_run / "config.json").write_text('{"conf')
    refused("--mode=eval", f"--workdir={copied_run}", says=["cannot be read"])
    refused(SMOKE, f"--workdir={copied_run}", says=["cannot be read"])


def test_checkpoint_of_another_architecture(refused, copied_run):
    stored = json.loads((copied_run / "config.json").read_text())
    stored["config"]["model"]["encoder"]["width"] = 48
    (copied_run / "config.json").write_text(json.dumps(stored))
    refused("--mode=eval", f"--workdir={copied_run}", says=["cannot be restored", "20"])


def damage(folder, step, *, flip):
    """Flips bits in, or truncates, the data files of a checkpoint.

    All of them and in many places: a single one may hold bytes that no array refers to.
    """
    files = [p for p in (folder / "checkpoints" / str(step) / "state").rglob("*") if p.is_file()]
    for path in files:
        content = bytearray(path.read_bytes())
        if path.parent.name != "d" or len(content) < 2000:
            continue
        if flip:
            for start in range(len(content) // 8, len(content) - 64, len(content) // 8):
                for i in range(start, start + 64):
                    content[i] ^= 0xFF
            path.write_bytes(content)
        else:
            path.write_bytes(content[: len(content) // 3])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("flip", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_damaged_checkpoints_are_refused_and_training_falls_back(refused, cli, copied_run, flip):
    damage(copied_run, 20, flip=flip)
    says = ["checkpoint 20", "other checkpoints: 10"]
    refused("--mode=eval", f"--workdir={copied_run}", "--config.eval.checkpoint=20", says=says)
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert code == 0, err
    assert "trying the one before" in err
    assert "resuming at step 10" in err
    assert list((copied_run / "checkpoints").glob("damaged-20-*")), "nothing is lost"
    for step in (10, 20):
        damage(copied_run, step, flip=flip)
    refused(SMOKE, f"--workdir={copied_run}", says=["no checkpoint", "--workdir"])


def test_two_processes_on_one_workdir(refused, tmp_path):
    from vdp.runtime import files

    with files.lock(tmp_path):
        refused(SMOKE, f"--workdir={tmp_path}", says=["another process", str(tmp_path)])


def test_workdir_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    refused(SMOKE, f"--workdir={tmp_path / 'file' / 'run'}", says=["cannot be written"])


def test_a_workdir_whose_name_is_no_utf_8_is_refused_before_training(refused, tmp_path):
    workdir = tmp_path / os.fsdecode(b"L\xe4ufe") / "run"
    refused(SMOKE, f"--workdir={workdir}", says=["no UTF-8", "another --workdir"])
    assert not list(tmp_path.iterdir())


def test_full_disk_while_saving(refused, tmp_path, monkeypatch):
    from vdp.training import checkpoint

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.ocp.CheckpointManager, "save", full)
    refused(SMOKE, f"--workdir={tmp_path}", says=["No space left", "again"])


@pytest.mark.slow
def test_file_size_limit_is_a_sentence_too(tmp_path):
    """A real limit of the operating system instead of an injected error."""
    workdir = tmp_path / "run"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "vdp.main", SMOKE, f"--workdir={workdir}",
         "--config.log.tensorboard=False"],
        preexec_fn=limit, env=env, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "can be written" in done.stderr


@pytest.mark.slow
def test_sigterm_while_evaluating_loses_nothing(copied_run):
    """Training is saved: it stops between two batches, and the same command evaluates."""
    (copied_run / "eval.json").unlink()
    code = (
        "import os, signal, sys, vdp.evaluation.evaluate as e, vdp.main as m\n"
        "count = e.latents.active_units\n"
        "def stopped(means): os.kill(os.getpid(), signal.SIGTERM); return count(means)\n"
        "e.latents.active_units = stopped\n"
        f"sys.exit(m.run(['{SMOKE}', '--workdir={copied_run}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 143, done.stderr
    assert "stopped by SIGTERM; what is finished is saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copied_run / "eval.json").exists()


def test_unreadable_compile_cache_entries_are_deleted(tmp_path):
    """A kill can leave half an entry, which jax would report and compile again at every start."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    code = (
        "import warnings, jax, jax.numpy as jnp\n"
        "from vdp.runtime import compile_cache\n"
        "@jax.jit\ndef one_of_ours(x): return jnp.sin(x) @ x.T + 1\n"
        "before = warnings.showwarning\n"
        "with compile_cache.enabled():\n"
        "    print(one_of_ours(jnp.ones((4, 4))).sum())\n"
        "assert warnings.showwarning is before\n"
    )

    def run():
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return done

    first = run()
    entries = list((tmp_path / "vdp" / "xla").glob("jit_one_of_ours-*cache"))
    assert len(entries) == 1
    whole = entries[0].read_bytes()
    entries[0].write_bytes(whole[: len(whole) // 2])
    second = run()
    assert (second.stdout, "Error reading" in second.stderr) == (first.stdout, False)
    assert entries[0].read_bytes() != whole[: len(whole) // 2], "written anew"


STATE = """
import json, logging, os, random, signal, sys, warnings
import jax, numpy as np
import flax.linen, ml_collections, optax, orbax.checkpoint, sklearn.datasets

def state():
    names = [None, *logging.root.manager.loggerDict]
    of = lambda logger: (logger.level, logger.disabled, logger.handlers[:], logger.filters[:])
    return {
        "loggers": {name: of(logging.getLogger(name)) for name in names},
        "warnings": (warnings.showwarning, warnings.filters[:]),
        "jax": dict(jax.config.values),
        "numpy": (np.geterr(), np.get_printoptions(), np.random.get_state()[1].tolist()),
        "random": random.getstate(),
        "environment": dict(os.environ),
        "hooks": (sys.excepthook, *map(signal.getsignal, (signal.SIGTERM, signal.SIGINT))),
    }

before = state()
import vdp
run = vdp.load(sys.argv[1])
assert run.elbo(run.images("test")[:4]).value.shape == (4,)
after = state()
after["loggers"] = {name: after["loggers"][name] for name in before["loggers"]}
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


@pytest.mark.slow
def test_opening_a_run_changes_no_state_of_the_process(smoke_run):
    done = subprocess.run(
        [sys.executable, "-c", STATE, smoke_run], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [], done.stderr


def test_orbax_is_quiet_while_checkpoints_are_open_and_nobody_else(tmp_path, monkeypatch):
    from vdp.training.checkpoint import Checkpoints

    logger = logging.getLogger("absl")
    monkeypatch.setattr(logger, "filters", [])  # those of checkpoints that other tests left open
    record = lambda path: logger.makeRecord("absl", logging.ERROR, path, 1, "", (), None)
    theirs = record("/packages/orbax/checkpoint/manager.py")
    checkpoints = Checkpoints(tmp_path)
    forgotten = Checkpoints(tmp_path, read_only=True)
    assert not logger.filter(theirs)
    assert logger.filter(record("/packages/absl/app.py"))
    checkpoints.close()
    assert not logger.filter(theirs)
    del forgotten
    gc.collect()
    assert logger.filter(theirs)


def test_diverging_training_stops_with_a_good_checkpoint(cli, tmp_path):
    code, _, err = cli(SMOKE, f"--workdir={tmp_path}", "--config.optim.learning_rate=1e30",
                       "--config.optim.clip_norm=0", "--config.train.max_bad_steps=3")  # fmt: skip
    assert code == 2
    for word in ("train/", "at step", "config.optim.learning_rate", "train.max_bad_steps=3"):
        assert word in err
    from vdp.training.checkpoint import Checkpoints

    assert Checkpoints(tmp_path, read_only=True).steps
