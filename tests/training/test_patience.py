"""Early stopping: training ends where validations have stopped improving, and goes on with more."""

import json

import pytest

from vdp.runtime.metric_log import read_metrics
from vdp.training.patience import Patience


def test_only_better_scores_count():
    patience = Patience(2)
    for step, value, exhausted in (
        (0, -9.0, False), (10, -5.0, False), (20, -5.0, False), (30, -4.0, False),
        (40, float("nan"), False), (50, -4.5, True),
    ):  # fmt: skip
        patience.add(step, value)
        assert patience.exhausted == exhausted, step
        standing = "the best so far" if patience.best_step == step else "no better than at step"
        assert patience.standing.startswith(standing), step
    assert patience.standing == "no better than at step 30, 2 of 2 in a row (train.patience)"
    assert patience.best_step == 30
    assert "step 50: 2 validations since step 30" in patience.in_words(50)


def test_without_a_limit_nothing_is_exhausted():
    patience = Patience(0)
    for step in range(100):
        patience.add(step, -step)
    assert not patience.exhausted
    assert patience.standing == "no better than at step 0"


def test_the_best_so_far_is_said_of_the_best_alone():
    patience, said = Patience(0, after=1000), []
    for step, score in enumerate((float("nan"), -150.0, -80.0, -95.0, -80.0, float("nan"))):
        patience.add(100 * step, score)
        said.append(patience.standing)
    best, worse = "the best so far", "no better than at step 200"
    assert said == ["no number", best, best, worse, worse, worse]


def test_validations_inside_a_kl_warmup_do_not_count():
    """Its bound can fall there, and what is best then is soon better."""
    patience = Patience(2, after=30)
    for step, value in ((0, -9.0), (10, -5.0), (20, -6.0), (30, -7.0), (40, -8.0)):
        patience.add(step, value)
    assert not patience.exhausted
    assert patience.standing == "no better than at step 10, 1 of 2 in a row (train.patience)"
    patience.add(50, -8.5)
    assert patience.exhausted
    lines = [{"step": step, "eval/elbo": -float(step)} for step in (0, 10, 20, 30)]
    goes_on = Patience.from_lines(2, lines, "eval/elbo", 1.0, 99, after=20)
    assert goes_on.standing.startswith("no better than at step 0, 1 of 2 in a row")


@pytest.mark.parametrize(("until", "exhausted"), [(20, False), (30, True), (99, True)])
def test_a_run_that_goes_on_remembers_its_validations(until, exhausted):
    values = {0: 1.0, 10: 0.5, 20: 0.7, 30: 0.6}  # squared errors: lower is better
    lines = [{"step": 5, "train/loss": 3.0}]
    lines += [{"step": step, "eval/error": value} for step, value in values.items()]
    patience = Patience.from_lines(2, lines, "eval/error", -1.0, until)
    assert patience.best_step == 10
    assert patience.exhausted == exhausted


def test_a_validation_that_was_not_finite_counts_as_one_that_was_no_better():
    """In metrics.jsonl its score is null."""
    values = {0: -3.0, 10: None, 20: -2.0, 30: None}
    lines = [{"step": step, "eval/elbo": value} for step, value in values.items()]
    patience = Patience.from_lines(2, lines, "eval/elbo", 1.0, 99)
    assert patience.standing == "no better than at step 20, 1 of 2 in a row (train.patience)"


@pytest.mark.slow
def test_training_ends_early_and_says_so(cli, tmp_path):
    """Without a rate nothing improves, and more patience goes on."""
    command = ["--config=digits_vae:prior=normal,smoke", "--config.optim.learning_rate=1e-30",
               "--config.train.steps=100", "--config.eval.every=5", "--config.train.patience=2",
               "--config.eval.estimators=elbo", "--config.log.tensorboard=False",
               "--config.model.kl_warmup_steps=0", f"--workdir={tmp_path}"]  # fmt: skip
    code, _, err = cli(*command)
    assert code == 0, err
    assert "validation at step 5: " in err
    assert "stopped at step 10: 2 validations since step 0 were no better" in err
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 10
    code, _, err = cli(*command)
    assert code == 0, err
    assert "already trained for 10 steps" in err
    code, _, err = cli(*command, "--config.train.patience=3")
    assert code == 0, err
    assert "stopped at step 15: 3 validations" in err


@pytest.mark.slow
def test_a_training_that_worsens_ends_with_its_start_as_the_best(cli, tmp_path):
    command = ["--config=digits_vae:prior=normal,smoke", "--config.optim.learning_rate=1",
               "--config.optim.schedule=constant", "--config.train.steps=5",
               "--config.eval.every=5", "--config.eval.estimators=elbo",
               "--config.log.tensorboard=False", f"--workdir={tmp_path}"]  # fmt: skip
    code, _, err = cli(*command)
    assert code == 0, err
    assert "best is the start: training has not improved it" in err
    assert json.loads((tmp_path / "eval.json").read_text())["step"] == 0
