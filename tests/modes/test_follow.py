"""An evaluation beside a training: every new checkpoint once, until nobody trains."""

import contextlib
import shutil

import pytest

from vdp.errors import UserError
from vdp.modes import evaluate, follow
from vdp.record import read_run
from vdp.runtime import files
from vdp.training.checkpoint import saved_steps


def test_new_checkpoints_are_evaluated_until_nobody_trains(copied_run, monkeypatch, capsys):
    monkeypatch.setattr(follow, "SECONDS", 0.0)
    settings, first = read_run(copied_run).settings, saved_steps(copied_run)[-1]
    training, seen = contextlib.ExitStack(), []
    training.enter_context(files.lock(copied_run))

    def evaluate_one(chosen, workdir):
        step = int(chosen.eval.checkpoint)
        seen.append(step)
        if step == first:
            (copied_run / "checkpoints" / "900").mkdir()
        elif step == 900:  # which training removes before it is read
            (copied_run / "checkpoints" / "900").rmdir()
            (copied_run / "checkpoints" / "901").mkdir()
            training.close()
            raise UserError("no such checkpoint")

    monkeypatch.setattr(evaluate, "evaluate_one", evaluate_one)
    evaluate.main(settings, copied_run, follow=True)
    assert seen == [first, 900, 901]
    said = capsys.readouterr().out
    assert "checkpoint 900, which is removed by now, was left out: " in said
    assert "nobody trains in" in said


def test_a_checkpoint_that_is_written_anew_is_waited_for_and_evaluated(copied_run, monkeypatch):
    settings, step = read_run(copied_run).settings, saved_steps(copied_run)[-1]
    place = copied_run / "checkpoints" / str(step)
    aside, seen = place.with_name(f"replaced-{step}"), []
    monkeypatch.setattr(follow.time, "sleep", lambda seconds: (place.mkdir(), aside.rmdir()))
    training = contextlib.ExitStack()
    training.enter_context(files.lock(copied_run))

    def evaluate_one(chosen, workdir):
        seen.append(int(chosen.eval.checkpoint))
        if len(seen) == 1:
            shutil.rmtree(place)
            aside.mkdir()
            raise UserError("no such checkpoint")
        training.close()

    monkeypatch.setattr(evaluate, "evaluate_one", evaluate_one)
    evaluate.main(settings, copied_run, follow=True)
    assert seen == [step, step]


def test_what_cannot_be_evaluated_is_said(copied_run, monkeypatch):
    def evaluate_one(chosen, workdir):
        raise UserError("the estimator elbo is not finite")

    monkeypatch.setattr(evaluate, "evaluate_one", evaluate_one)
    with pytest.raises(UserError, match="not finite"):
        evaluate.main(read_run(copied_run).settings, copied_run, follow=True)


def test_a_folder_is_in_use_while_it_is_locked(tmp_path):
    assert not files.in_use(tmp_path)
    with files.lock(tmp_path):
        assert files.in_use(tmp_path)
    assert not files.in_use(tmp_path)
