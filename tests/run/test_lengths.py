"""What a training says of lengths that do not fit each other, and when patience ends it."""

import pytest

from vdp.runtime.metric_log import read_metrics

STILL = (  # no rate to speak of, so that no validation after the first is better
    "--config=digits_vae:prior=normal,smoke", "--config.optim.learning_rate=1e-30",
    "--config.optim.warmup_steps=0", "--config.train.patience=1", "--config.eval.every=10",
    "--config.eval.estimators=elbo", "--config.log.tensorboard=False",
)  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_patience_of_a_run_that_goes_on_inside_its_kl_warmup_has_not_begun(cli, tmp_path):
    command = (*STILL, "--config.model.kl_warmup_steps=40", f"--workdir={tmp_path}")
    for steps in (10, 20):
        code, _, err = cli(*command, f"--config.train.steps={steps}")
        assert code == 0, err
        assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == steps


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("warmup", "last"), [(0, 10), (40, 20)])
def test_patience_waits_for_the_end_of_the_kl_warmup(cli, tmp_path, warmup, last):
    code, _, err = cli(*STILL, f"--config.model.kl_warmup_steps={warmup}", f"--workdir={tmp_path}")
    assert code == 0, err
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == last
    assert ("the KL warm-up takes 40 steps" in err) == (warmup == 40)
    early = "ended after 10 of train.steps=20, where optim.schedule=cosine is still at" in err
    assert early == (last == 10)
