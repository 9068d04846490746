"""train.seconds: training ends when its steps have taken that long, over all resumptions."""

import json
import time

import pytest

from vdp.runtime import wandb_sink
from vdp.runtime.metric_log import read_metrics, train_seconds

ARGUMENTS = [
    "--config=digits_vae:prior=normal,smoke", "--config.eval.estimators=elbo",
    "--config.log.tensorboard=False", "--config.train.steps=100000000",
    "--config.eval.every=100000000", "--config.log.every=50",
]  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_training_stops_when_its_seconds_are_spent_and_goes_on_with_more(cli, tmp_path):
    arguments = [*ARGUMENTS, f"--workdir={tmp_path}"]
    ends = []
    for seconds in ("0.3", "0.3", "0.6"):
        code, _, err = cli(*arguments, f"--config.train.seconds={seconds}")
        assert code == 0, err
        ends.append(json.loads((tmp_path / "eval.json").read_text()))
    first, same, more = ends
    assert 0 < first["step"] == same["step"] < more["step"] < 100_000_000
    assert "nothing left to do" not in err
    assert 0.3 <= first["train_seconds"] < more["train_seconds"]
    assert more["train_seconds"] >= 0.6
    path = tmp_path / "metrics.jsonl"
    assert abs(train_seconds(path, more["step"]) - more["train_seconds"]) < 0.01
    assert read_metrics(path)[-1]["step"] == more["step"]
    code, _, err = cli(*arguments, "--config.train.seconds=0.2")
    assert code == 2
    assert "train.seconds" in err


@pytest.mark.usefixtures("undrawn")
def test_what_comes_before_the_first_step_is_no_time_of_steps(cli, tmp_path, monkeypatch):
    """The clock is turned on by an hour before the first step, as by a slow start."""
    late, clock = [0.0], time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + late[0])

    def asked(*args):
        late[0] = 3600.0
        return []

    monkeypatch.setattr(wandb_sink, "asked", asked)
    code, _, err = cli(*ARGUMENTS, "--config.train.steps=50", f"--workdir={tmp_path}")
    assert code == 0, err
    assert late == [3600.0]
    assert 0 < train_seconds(tmp_path / "metrics.jsonl", 50) < 1800
