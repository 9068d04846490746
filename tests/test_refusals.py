"""What means nothing, or not what was meant, is said in one sentence before anything is trained."""

import json

import pytest

from vdp import config
from vdp.runtime.metric_log import read_metrics
from vdp.settings import Settings, compare, notes

DESCRIBE, SMOKE = "--mode=describe", "--config=digits_vae:smoke"
LEARNED = (
    "--config.model.prior.reverse=learned", "--config.model.prior.bound=discrete",
    "--config.model.prior.num_steps=5",
)  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--config=digits_vae", "--config.model.encoder.name=MLPDenoiser"], ["encoder", "MLP"]),
        (["--config=digits_vae", "--config.model.prior.denoiser.name=MLP"], ["MLPDenoiser"]),
        (["--config=digits_dcgan", "--config.model.encoder.name=DCGANDecoder"], ["DCGANEncoder"]),
        (["--config=digits_vdm", "--config.model.prior.denoiser.attention=5"], ["attention", "8"]),
        (["--config=digits_dvp", "--config.model.log_var_q=1,-1"], ["log_var_q", "lowest"]),
        ([SMOKE, "--config.optim.eps=0"], ["optim.eps"]),
        (["--config=digits_vdm", "--config.model.prior.denoiser.fourier=200"], ["fourier", "24"]),
        (["--config=digits_vae", "--config.train.microbatches=3"], ["batch_size=128", "3 micro"]),
        (["--config=digits_vae", "--config.model.levels=5"], ["unknown config field"]),
        (["--config=digits_vae", "--config.model.encoder.dtype=float33"], ["float33"]),
        (["--config=digits_dcgan:latent=0"], ["unknown variant 'latent=0'"]),
        (
            ["--config=digits_vae:prior=normal", "--config.model.likelihood.name=bernoulli"],
            ["'scale'", "accepted: levels", "of another likelihood stay", "config of your own"],
        ),
        (
            ["--config=digits_vae", "--config.model.prior.name=normal"],
            ["does not have the fields", "digits_vae:prior=vamp"],
        ),
    ],
)
def test_what_a_model_cannot_be(refused, argv, says):
    refused(DESCRIBE, *argv, says=says)


def test_any_field_of_a_component_can_be_given(cli):
    """Also one that its config leaves at its default."""
    fields = {
        "digits_vae": {"model.beta": 0.25, "model.encoder.dtype": "bfloat16"},
        "digits_dvp:ladder,smoke": {"model.input_mean": 0.25},
        "digits_vdm:smoke": {"model.prior.denoiser.groups": 4},
    }
    for name, given in fields.items():
        code, out, err = cli(
            f"--config={name}", DESCRIBE, *(f"--config.{k}={v}" for k, v in given.items())
        )
        assert code == 0, err
        found = compare.flatten(json.loads(out.splitlines()[-1])["config"])
        assert {k: found[k] for k in given} == given


def test_an_estimate_that_is_another_again_is_told(refused, tmp_path):
    refused(
        "--config=digits_vae:prior=normal,smoke", f"--workdir={tmp_path / 'run'}",
        "--config.eval.estimators=elbo_discrete", says=["is elbo again under this model"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([SMOKE, *LEARNED, "--config.sample.sampler_steps=7"], ["5 steps was learned", "steps=7"]),
        ([SMOKE, *LEARNED, "--config.eval.num_steps=7"], ["5 steps was learned", "num_steps=7"]),
        (["--config=digits_vae:prior=normal,smoke", "--config.eval.num_steps=7"], ["has none"]),
        ([SMOKE, "--config.sample.z_temperature=1,2"], ["z_temperature is of hierarchies"]),
        ([SMOKE, "--config.eval.ood=digits"], ["ood=digits are the images that are evaluated"]),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_training(refused, tmp_path, argv, says):
    refused(*argv, f"--workdir={tmp_path / 'run'}", says=says)
    assert not (tmp_path / "run").exists()


def test_what_does_nothing_is_said(cli, tmp_path, undrawn):
    code, _, err = cli(
        "--config=digits_ae:smoke", f"--workdir={tmp_path / 'run'}", "--config.train.steps=2",
        "--config.data.num_validation=0", "--config.train.patience=1", "--config.eval.split=train",
        "--config.train.init_parts=all",
    )  # fmt: skip
    assert code == 0, err
    assert "train.patience=1 does nothing: there are no validation images" in err
    assert "train.init_parts=all does nothing without train.init_from" in err
    assert "a training evaluates its best checkpoint on the test split" in err


def test_fields_of_other_schedules_are_said_to_do_nothing():
    changed = lambda **fields: notes.of_what_does_nothing(Settings().replace(optim=fields), 1)
    assert changed() == changed(schedule="wsd", decay_steps=5, final_learning_rate=1e-5) == []
    assert changed(warmup_stairs=2, warmup_steps=10) == []
    (line,) = changed(schedule="constant", final_learning_rate=1e-5)
    assert line == "optim.final_learning_rate=1e-05 does nothing where optim.schedule=constant"
    (line,) = changed(decay_steps=5)
    assert line.startswith("optim.decay_steps=5 is of optim.schedule=wsd, and does nothing under")
    (line,) = changed(warmup_stairs=2)
    assert line == "optim.warmup_stairs=2 does nothing without optim.warmup_steps"
    pixel = config.settings("digits_vdm", [("model.likelihood.scale", "0.05")])
    (line,) = notes.of_what_does_nothing(pixel, 1)
    assert line.startswith("model.likelihood.scale does nothing in pixel space")
    assert notes.of_what_does_nothing(config.settings("digits_vdm"), 1) == []


def test_a_budget_that_is_over_at_once_leaves_a_run(cli, tmp_path, undrawn):
    argv = (
        "--config=digits_ae:smoke", f"--workdir={tmp_path / 'run'}", "--config.train.seconds=1e-6",
        "--config.data.num_validation=0",
    )  # fmt: skip
    code, _, err = cli(*argv)
    assert code == 0, err
    assert (tmp_path / "run" / "eval.json").exists()
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == []


def test_a_classifier_draws_nothing_is_said(refused, tmp_path, cli, undrawn):
    run = f"--workdir={tmp_path / 'run'}"
    code, _, err = cli("--config=digits_classifier", run, "--config.train.steps=2")
    assert code == 0, err
    refused("--mode=sample", run, says=["model classifier draws pictures of nothing"])
