"""How far a run has come, as its folder tells, or the folder of an export without a log."""

import dataclasses
import os

import pytest
import run_folder
from run_folder import CONFIG

from vdp import record
from vdp.cards import facts, index, progress


def test_an_evaluation_without_validations_is_of_a_run_as_far_as_it_has_come(tmp_path):
    stored = record.read_run(run_folder.write(tmp_path / "mine"))
    steps = stored.settings.train.steps

    def of(trained, **result):
        return progress.state(stored, result, [{"step": trained}])

    assert of(steps) == "finished", "of version 0.1"
    assert of(1) == f"unfinished: evaluated at step 1 of {steps}"
    of_no_images = {"validations": None, "step": 1}
    assert of(1, **of_no_images) == f"unfinished: evaluated at step 1 of {steps}"
    assert of(steps, **of_no_images) == f"unfinished: evaluated at step 1 of {steps}"
    assert of(steps, validations=None, step=steps) == "finished"


@pytest.mark.parametrize(
    ("limit", "lines", "finished"),
    [
        ({"patience": 2}, [{"step": step, "eval/elbo": -1.0} for step in (10, 20, 30)], True),
        ({"patience": 3}, [{"step": step, "eval/elbo": -1.0} for step in (10, 20, 30)], False),
        ({"seconds": 5.0}, [{"step": step, "train/seconds": 2.6} for step in (10, 20)], True),
        ({"seconds": 6.0}, [{"step": step, "train/seconds": 2.6} for step in (10, 20)], False),
    ],
)
def test_a_run_that_may_end_early_is_finished_when_it_has(tmp_path, limit, lines, finished):
    """Evaluated while it still trained it is not, whatever `eval.json` holds."""
    stored = record.read_run(run_folder.write(tmp_path / "mine"))
    stored = dataclasses.replace(
        stored, settings=stored.settings.replace(train=dict(steps=1000, **limit))
    )
    result = {"step": 10, "validations": {"num": 2, "last_step": 30}}
    found = progress.state(stored, result, lines)
    assert found == ("finished" if finished else "unfinished: evaluated at step 30 of 1,000")


def test_a_run_with_patience_that_was_evaluated_while_it_trained_is_not_finished(tmp_path):
    stored = record.read_run(run_folder.write(tmp_path / "mine"))
    train, lines = dict(steps=1000, patience=2), [{"step": s, "eval/elbo": 1.0} for s in (10, 20)]
    model = {**stored.settings.model, "kl_warmup_steps": 25}
    chosen = stored.settings.replace(train=train, model=model)
    stored = dataclasses.replace(stored, settings=chosen)
    lines += [{"step": step, "eval/elbo": -1.0} for step in (30, 40)]
    of = lambda last, lines: progress.state(
        stored, {"step": 10, "validations": {"num": 1, "last_step": last}}, lines
    )
    assert of(40, lines) == "finished"
    assert of(10, lines) == "unfinished: evaluated at step 10 of 1,000", "it went on"
    assert of(30, lines[:3]).startswith("unfinished"), "inside the KL warm-up none counts"


def test_an_exported_run_says_the_steps_that_its_evaluation_knows(tmp_path):
    """It has no metrics.jsonl, and has stopped early, by its patience."""
    weights = {"file": "model.safetensors", "step": 20, "dtype": "float32", "sha256": "00"}
    train = {"steps": 100_000, "batch_size": 8, "patience": 1}
    config = {**CONFIG, "config": {**CONFIG["config"], "train": train}, "weights": weights}
    folder = run_folder.write(
        tmp_path / "mine", config=config, lines=[], evaluated=run_folder.result(step=20)
    )
    said = facts.gather(folder)
    assert said.state == "finished"
    assert said.figures["steps"] == "40"
    assert said.sentences[0].startswith("Trained for 40 steps ")
    index.write(tmp_path)
    assert "| mine | 40 |" in (tmp_path / "index.md").read_text()
    (folder / "eval.json").unlink()
    assert facts.gather(folder).figures["steps"] == "20", "that of its weights"


def test_a_copy_keeps_the_date_of_its_evaluation(tmp_path):
    dated = run_folder.result(date="2021-03-04")
    assert facts.gather(run_folder.write(tmp_path / "mine", evaluated=dated)).date == "2021-03-04"
    older = run_folder.write(tmp_path / "older")
    os.utime(older / "eval.json", (86_400 * 365.25, 86_400 * 365.25))
    assert facts.gather(older).date == "1971-01-01"
