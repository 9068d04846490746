"""The command of a training, given again where its run has ended."""

import json
import shutil

import pytest

from vdp.pictures import sample
from vdp.record import read_run

SMOKE = "--config=digits_vae:smoke"


@pytest.mark.usefixtures("undrawn")
def test_finished_run_says_so_and_evaluates_again_if_needed(cli, copied_run):
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert code == 0
    assert "already trained" in err
    assert "nothing left to do" in err
    assert "test elbo (" in err
    before = json.loads((copied_run / "eval.json").read_text())
    partial = json.dumps({"step": before["step"], "estimators": {}})
    (copied_run / "eval.json").write_text(partial)
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert code == 0
    assert "is no result of an evaluation; moved to eval.json.bad" in err
    after = json.loads((copied_run / "eval.json").read_text())
    assert after["estimators"]["elbo"]["nats"] == before["estimators"]["elbo"]["nats"]
    assert (copied_run / "eval.json.bad").read_text() == partial


@pytest.mark.usefixtures("undrawn")
def test_more_asked_of_a_finished_run_is_evaluated_and_less_is_not(cli, copied_run):
    result = lambda: json.loads((copied_run / "eval.json").read_text())["estimators"]["iwae"]["k"]
    assert result() == 4
    for samples, answered in ((6, False), (6, True), (4, True)):
        more = f"--config.eval.iwae_samples={samples}"
        code, _, err = cli(SMOKE, f"--workdir={copied_run}", more)
        assert (code, "nothing left to do" in err) == (0, answered), err
        assert result() == 6
        assert read_run(copied_run).settings.eval.iwae_samples == 6, "as eval.json has it"


@pytest.mark.usefixtures("undrawn")
def test_a_result_of_other_parameters_of_the_same_step_is_none_of_this_run(cli, copied_run):
    """As where the last steps were trained again on a machine that adds otherwise."""
    path = copied_run / "eval.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"weights": "0" * 16}))
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert (code, "nothing left to do" in err) == (0, False)
    after = json.loads(path.read_text())
    assert after["weights"] == before["weights"]
    assert after["estimators"]["elbo"]["nats"] == before["estimators"]["elbo"]["nats"]


def test_files_of_ones_own_with_such_names_stay(cli, tmp_path, undrawn):
    for name in ("eval_notes.json", "evaluation.npz", "codes-book"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "samples").mkdir()
    assert cli(SMOKE, f"--workdir={tmp_path}", "--config.train.steps=1")[0] == 0
    assert not list(tmp_path.glob("*.bad"))
    assert (tmp_path / "evaluation.npz").read_text() == "{}"


@pytest.mark.usefixtures("undrawn")
def test_numbers_of_checkpoints_that_are_no_more_are_set_aside(cli, copied_run):
    before = (copied_run / "eval.json").read_text()
    shutil.rmtree(copied_run / "checkpoints")
    others = ("eval-latest-test.json", "eval-latest-test.npz", "wandb.json", "codes-best-test")
    for name in others:
        (copied_run / name).write_text("{}")
    (copied_run / "codes-long-ago.bad").mkdir()
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert (code, "nothing left to do" in err) == (0, False)
    assert "eval.json is of an earlier training: moved to eval.json.bad" in err
    assert (copied_run / "eval.json.bad").read_text() == before
    assert (copied_run / "eval.json").exists()
    assert (copied_run / "samples.bad" / "samples.png").exists()
    assert (copied_run / "plots.bad").exists()
    for name in others:
        assert (copied_run / f"{name}.bad").exists()
        assert not (copied_run / name).exists()
    assert (copied_run / "codes-long-ago.bad").exists(), "it is aside already"
    (entry,) = json.loads((copied_run / "evals.json").read_text())
    assert entry["file"] == "eval.json"


def test_what_was_evaluated_while_it_was_trained_is_as_of_its_end(cli, copied_run, monkeypatch):
    """By `--mode=eval`, say: the best of fewer validations then, and no pictures of it."""
    drawn = copied_run / "samples" / "samples.png"
    monkeypatch.setattr(sample, "write_all", lambda *_, **__: drawn.touch() or [drawn])
    result = json.loads((copied_run / "eval.json").read_text())
    whole = result["validations"]
    result["validations"] = {"num": 1, "last_step": 10}
    (copied_run / "eval.json").write_text(json.dumps(result))
    for path in (copied_run / "samples").iterdir():
        if not path.name.startswith("step-"):
            path.unlink()
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert (code, "nothing left to do" in err) == (0, True)
    assert json.loads((copied_run / "eval.json").read_text())["validations"] == whole
    assert drawn.exists()
    assert "evaluated at step 10 of" not in (copied_run / "card.md").read_text()
    written = [(copied_run / name).stat().st_mtime_ns for name in ("eval.json", "card.md")]
    assert cli(SMOKE, f"--workdir={copied_run}")[0] == 0
    assert written == [(copied_run / name).stat().st_mtime_ns for name in ("eval.json", "card.md")]
    (copied_run / "samples" / "other-1a2b3c").mkdir()
    # as it should be; drawn by --mode=sample before the last checkpoint; stopped while it was drawn
    for step, redrawn in ((20, False), (10, True), (None, True)):
        drawn.unlink(missing_ok=True)
        (copied_run / "samples" / "reconstructions.png").touch()
        (copied_run / "samples" / "settings.json").write_text(json.dumps({"step": step}))
        assert cli(SMOKE, f"--workdir={copied_run}")[0] == 0
        assert drawn.exists() == redrawn
    drawn.unlink()
    (copied_run / "samples" / "reconstructions.png").touch()
    assert cli(SMOKE, f"--workdir={copied_run}", "--config.sample.num=9")[0] == 0
    assert drawn.exists(), "more of them, or fewer, are asked for"
    (copied_run / "card.html").unlink()  # as where the disk was full
    assert cli(SMOKE, f"--workdir={copied_run}")[0] == 0
    assert (copied_run / "card.html").exists()


def test_a_better_validation_whose_checkpoint_is_gone_is_named(cli, copied_run, undrawn):
    """As of a folder that was copied in parts: the best that is left is not the best there was."""
    shutil.rmtree(copied_run / "checkpoints" / "20")
    asked = ("--config.eval.estimators=elbo", "--config.eval.max_examples=20")
    code, out, err = cli("--mode=eval", *asked, f"--workdir={copied_run}")
    assert code == 0, err
    assert "step 10; of 3 validations up to step 20 that of step 20 was better" in out


def test_a_damaged_config_is_not_to_be_removed(refused, copied_run):
    (copied_run / "config.json").write_text("{")
    refused(
        "--mode=eval", f"--workdir={copied_run}", says=["config.json", "restore it from a copy"]
    )
