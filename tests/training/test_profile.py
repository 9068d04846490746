"""What a run shows of its own work on demand: learning rates, a profile, all its parameters."""

import json

import numpy as np
import pytest

from vdp.record import read_run
from vdp.training import optim


def test_the_learning_rate_is_logged_as_the_schedule_has_it(smoke_run):
    settings = read_run(smoke_run).settings
    rate = optim.learning_rate(settings.optim, settings.train.steps)
    lines = [json.loads(line) for line in (smoke_run / "metrics.jsonl").read_text().splitlines()]
    logged = {m["step"]: m["train/learning_rate"] for m in lines if "train/learning_rate" in m}
    assert set(logged) == {5, 10, 15, 20}
    for step, value in logged.items():
        np.testing.assert_allclose(value, rate(step - 1), rtol=1e-6)


@pytest.mark.slow
def test_a_profile_is_of_some_steps_after_the_first(cli, tmp_path):
    code, _, err = cli(
        "--config=digits_vae:prior=normal,smoke", f"--workdir={tmp_path}",
        "--config.log.profile_steps=2", "--config.train.steps=5", "--config.eval.every=5",
        "--config.eval.estimators=elbo", "--config.log.tensorboard=False",
    )  # fmt: skip
    assert code == 0, err
    assert "profile of the steps before 4" in err
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_every_parameter_is_listed_on_demand(cli, refused, smoke_run):
    code, out, err = cli("--mode=describe", f"--workdir={smoke_run}", "--parameters")
    assert code == 0, err
    parameters = json.loads(out.splitlines()[-1])["parameters"]
    assert "prior/denoiser/Dense_0/kernel" in out
    assert f"Total: {parameters['total']:,}" in out
    refused(f"--workdir={smoke_run}", "--parameters", says=["--mode=describe"])
