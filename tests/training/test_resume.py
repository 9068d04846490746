"""Stopping and going on: the same command continues, and ends in bitwise the same state."""

import json
import os
import re
import signal

import pytest
from processes import COMMAND, assert_bitwise, final_state, metrics, start, stopped_at, wait_for
from undrawn import pictures

from vdp.record import Extension, read_run
from vdp.training import state
from vdp.training.checkpoint import Checkpoints
from vdp.training.loop import Loop

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    from vdp import main

    workdir = tmp_path_factory.mktemp("whole") / "run"
    with pictures(drawn=False):
        assert main.run([*COMMAND, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("packed_from", [state.PACKED_LEAVES, 2])
def test_fewer_steps_then_more_is_one_run(cli, tmp_path, monkeypatch, packed_from):
    """2 parts + save + restore = one part, for a constant rate; train.steps may grow.

    The smoke run has fewer leaves than are packed, unless packing begins at two.
    """
    monkeypatch.setattr(state, "PACKED_LEAVES", packed_from)
    constant = ["--config.optim.schedule=constant", "--config.eval.every=20"]
    code, _, err = cli(*COMMAND, *constant, f"--workdir={tmp_path / 'a'}")
    assert code == 0, err
    for steps in (25, 60):
        code, _, err = cli(
            *COMMAND, *constant, f"--workdir={tmp_path / 'b'}", f"--config.train.steps={steps}"
        )
        assert code == 0, err
    assert "resuming at step 25" in err
    assert "train.steps was 25 and is 60: the learning rate goes on" in err
    assert read_run(tmp_path / "b").extensions == [Extension(25, 25)]
    assert_bitwise(final_state(tmp_path / "a"), final_state(tmp_path / "b"))


KILL_IN_SAVE = """
import os, pathlib, signal, sys, time
from vdp import main
from vdp.training import checkpoint
original = checkpoint.ocp.CheckpointManager.save
def save(self, step, *args, **kwargs):
    done = original(self, step, *args, **kwargs)
    if step == 40:
        while not list(pathlib.Path(self.directory).glob("40*tmp*")):
            assert not (pathlib.Path(self.directory) / "40").exists(), "the save was too quick"
        os.kill(os.getpid(), signal.SIGKILL)
    return done
checkpoint.ocp.CheckpointManager.save = save
sys.exit(main.run(sys.argv[1:]))
"""


def test_kill_in_the_middle_of_a_save(cli, uninterrupted, tmp_path):
    process = start(tmp_path, code=KILL_IN_SAVE)
    _, err = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, err
    assert not (tmp_path / "checkpoints" / "40").exists()
    assert list((tmp_path / "checkpoints").glob("40*tmp*"))
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == 0
    assert "resuming at step 20" in err
    assert_bitwise(final_state(uninterrupted), final_state(tmp_path))
    assert metrics(tmp_path) == metrics(uninterrupted)
    results = [json.loads((w / "eval.json").read_text()) for w in (tmp_path, uninterrupted)]
    for result in results:
        result["estimators"]["elbo"].pop("seconds")
        for seconds in ("train_seconds", "train_seconds_total"):
            result.pop(seconds)
    assert results[0] == results[1]


@pytest.mark.slow
def test_kill_during_training(cli, uninterrupted, tmp_path):
    process = start(tmp_path)
    lines = lambda: (tmp_path / "metrics.jsonl").exists() and len(metrics(tmp_path))
    wait_for(lambda: lines() >= 7 and (tmp_path / "checkpoints" / "20").exists(), process)
    process.kill()
    process.communicate()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9')  # what a kill in the middle of a write leaves
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == 0, err
    assert "resuming at step" in err
    assert_bitwise(final_state(uninterrupted), final_state(tmp_path))
    assert metrics(tmp_path) == metrics(uninterrupted)


@pytest.mark.slow
def test_sigterm_saves_and_exits_143(cli, uninterrupted, tmp_path):
    process = start(tmp_path)
    wait_for(lambda: (tmp_path / "checkpoints" / "20").exists(), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    step = stopped_at(err)
    assert (tmp_path / "checkpoints" / str(step)).exists()
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == 0
    assert f"resuming at step {step}" in err
    assert_bitwise(final_state(uninterrupted), final_state(tmp_path))


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_saves_and_a_second_one_stops_at_once(cli, tmp_path, monkeypatch, times):
    original = Loop._read

    def read(self, *pending):
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(Loop, "_read", original)
        return original(self, *pending)

    monkeypatch.setattr(Loop, "_read", read)
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == (143, 130)[times - 1], err
    assert "Traceback" not in err
    if times == 1:
        step = re.search(r"stopped by Ctrl-C at step (\d+)", err).group(1)
        assert (tmp_path / "checkpoints" / step).exists()
    else:
        assert "continues from the last checkpoint" in err


@pytest.mark.slow
@pytest.mark.parametrize("step", [40, 60], ids=["in the middle", "the last"])
def test_sigterm_does_not_wait_for_a_validation(cli, uninterrupted, tmp_path, monkeypatch, step):
    """The validation is made good at the next start, so that `best` is chosen among the same."""
    original = Loop._validate_and_save

    def at_step(self, current, done):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, current, done)

    monkeypatch.setattr(Loop, "_validate_and_save", at_step)
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == 143, err
    assert f"stopped by SIGTERM at step {step}, before its validation" in err
    assert not any(m["step"] == step and "eval/elbo" in m for m in metrics(tmp_path))
    monkeypatch.undo()
    code, _, err = cli(*COMMAND, f"--workdir={tmp_path}")
    assert code == 0, err
    assert f"resuming at step {step}" in err
    assert_bitwise(final_state(uninterrupted), final_state(tmp_path))
    assert metrics(tmp_path) == metrics(uninterrupted)
    best = [Checkpoints(w, read_only=True).best_step() for w in (tmp_path, uninterrupted)]
    assert best[0] == best[1]
