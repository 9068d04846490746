"""Searches: which trials go on, what is chosen, how they stop and continue, what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
from checkout import ROOT
from launching import RATES, SEARCHED
from processes import until

from launch import search, trials


def rows(tmp_path):
    with open(tmp_path / "search" / "search.csv") as file:
        return list(csv.DictReader(file))


def calls(tmp_path):
    """{folder: the arguments of every start}."""
    paths = sorted((tmp_path / "search").glob("trial-*/calls"))
    return {path.parent.name: path.read_text().splitlines() for path in paths}


def test_trials_of_searches_side_by_side_do_not_join(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "here:1")
    monkeypatch.setenv("KEPT", "1")
    alone = trials._alone()
    assert "KEPT" in alone
    assert not {"SLURM_STEP_NUM_TASKS", "JAX_COORDINATOR_ADDRESS"} & set(alone)


def test_the_best_rate_is_found_and_weak_trials_are_given_up(searched, tmp_path):
    code, out, err = searched(RATES, "--trials=12")
    assert code == 0, err
    found = rows(tmp_path)
    done = [row for row in found if row["end"] == "done"]
    rates = [float(row["optim.learning_rate"]) for row in done]
    assert len(found) == 12
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == max(float(row["optim.learning_rate"]) for row in found)
    assert float(done[0]["elbo, nats"]) == pytest.approx(rates[0] * 100 - 100, rel=1e-3)
    assert {row["validations"] for row in done} == {"10"}
    given_up = [row for row in found if row["end"] == "given up"]
    assert given_up
    assert all(int(row["validations"]) < 10 for row in given_up)
    assert out.splitlines()[2] == (tmp_path / "search" / "search.md").read_text().splitlines()[2]
    best = f"--config.optim.learning_rate={done[0]['optim.learning_rate']} "
    assert f"the best: python -m vdp.main --config=digits_vae:smoke {best}" in err


def plan(tmp_path, *argv):
    argv = argv or ("--space=optim.learning_rate=0.1,0.05,0.2,0.15",)
    flags, overrides = search.parse([*SEARCHED, f"--workdir={tmp_path / 'search'}", *argv])
    return search.plan(flags, overrides, [])


def test_of_errors_the_smallest_is_found(searched, tmp_path):
    base = ("--config=digits_ae:smoke", *SEARCHED[1:])
    code, _, err = searched("--space=optim.learning_rate=0.1,0.2,0.3", "--trials=5", base=base)
    assert code == 0, err
    found = rows(tmp_path)
    done = [row for row in found if row["end"] == "done"]
    best = max(float(row["optim.learning_rate"]) for row in found)
    assert float(done[0]["optim.learning_rate"]) == best
    (column,) = (name for name in done[0] if name.startswith("squared_error"))
    assert float(done[0][column]) == pytest.approx(100 - 100 * best, rel=1e-3)
    assert f"--config.optim.learning_rate={best}" in err


def test_only_the_best_of_factor_trials_passes_a_rung(searched, tmp_path):
    """One after another: what comes first goes on, later ones if they are the best of all there."""
    study = plan(tmp_path).study
    for rate in ("0.1", "0.05", "0.2", "0.15"):
        study.enqueue_trial({"config.optim.learning_rate": rate})
    searched("--space=optim.learning_rate=0.1,0.05,0.2,0.15", "--trials=4", "--factor=3")
    ends = {row["optim.learning_rate"]: (row["end"], row["validations"]) for row in rows(tmp_path)}
    assert ends == {
        "0.1": ("done", "10"),
        "0.05": ("given up", "1"),
        "0.2": ("done", "10"),
        "0.15": ("given up", "1"),
    }


def test_trials_are_runs_that_leave_the_test_split_alone(searched, tmp_path):
    searched(RATES, "--space=prior=normal,vdm", "--trials=2", "--config.seed", "3")
    (argv,) = calls(tmp_path)["trial-0001"]
    words = argv.split()
    assert words[0] in (
        "--config=digits_vae:prior=normal,smoke",
        "--config=digits_vae:prior=vdm,smoke",
    )
    assert words[1] == f"--workdir={tmp_path / 'search' / 'trial-0001'}"
    assert {"--config.eval.estimators=()", "--config.seed=3"} <= set(words)


def test_the_same_command_continues_with_more_trials(searched, tmp_path):
    searched(RATES, "--trials=2")
    before = calls(tmp_path)
    code, _, err = searched(RATES, "--trials=3")
    assert code == 0
    assert "2 trials before" in err
    after = calls(tmp_path)
    assert len(after) == 3
    assert before.items() <= after.items()
    code, _, err = searched(RATES, "--trials=3")
    assert code == 0
    assert calls(tmp_path) == after


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_is_stopped_continues_its_trial(tmp_path, training, searched, number):
    """What it had trained stands; SIGKILL leaves a trial that looks as if it ran."""
    fake = tmp_path / "fake"
    (fake / "slow").touch()
    argv = [*SEARCHED, f"--workdir={tmp_path / 'search'}", RATES, "--trials=2"]
    program = f"import sys; from launch import search; sys.exit(search.run({argv!r}, {training!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE)
    until((fake / "started").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert b"the same command continues" in err
    (fake / "slow").unlink()
    code, _, err = searched(RATES, "--trials=2")
    assert code == 0, err
    starts = calls(tmp_path)
    assert [len(starts[name]) for name in sorted(starts)] == [2, 1]
    assert starts["trial-0000"][0] == starts["trial-0000"][1]
    assert len(rows(tmp_path)) == 2
    assert {row["end"] for row in rows(tmp_path)} <= {
        "done",
        "given up",
    }
    steps = [
        json.loads(line)["step"] for line in open(tmp_path / "search/trial-0000/metrics.jsonl")
    ]
    assert steps == sorted(set(steps))


def test_what_another_search_trains_is_left_to_it(tmp_path, searched):
    searched(RATES, "--trials=1")
    found = plan(tmp_path, RATES)
    trial = found.study.ask(dict(found.distributions))
    trial.set_user_attr("folder", "trial-0001")
    with trials._hold(tmp_path / "search" / "trial-0001") as free:
        assert free
        assert found.interrupted() == []
        code, _, _ = searched(RATES, "--trials=2")  # it counts as one of two
        assert code == 0
        assert list(calls(tmp_path)) == ["trial-0000"]
    (left,) = found.interrupted()
    assert left.user_attrs["folder"] == "trial-0001"


def test_a_trial_that_continues_keeps_what_it_has_passed(tmp_path, searched, training):
    """The first of its peers when it began, it is judged at the rungs to come alone, as itself."""
    found = plan(tmp_path, "--space=optim.learning_rate=0.05,0.2,0.21,0.22")
    first = found._ask()
    folder = tmp_path / "search" / first.user_attrs["folder"]
    folder.mkdir()
    rate = float(first.params["config.optim.learning_rate"])
    with open(folder / "metrics.jsonl", "w") as file:
        file.write('{"step": 0, "eval/elbo": 1e6}\n')
        for number in range(1, 4):
            step, score = 10 * number, rate * 10 * number - 100
            file.write(json.dumps({"step": step, "eval/elbo": score}) + "\n")
            first.report(score, number)
            assert not first.should_prune()
    others = sorted({"0.05", "0.2", "0.21", "0.22"} - {str(rate)})
    for value in others:  # better ones, that come to the same rungs meanwhile
        found.study.enqueue_trial({"config.optim.learning_rate": value})
        other = found.study.ask(dict(found.distributions))
        for number in range(1, 4):
            other.report(50.0 + number, number)
            other.should_prune()
        found.study.tell(other, state=trials._states().PRUNED)
    searched("--space=optim.learning_rate=0.05,0.2,0.21,0.22", "--trials=1")
    (row,) = rows(tmp_path)
    assert (row["trial"], row["end"]) == ("trial-0000", "done")
    assert row["validations"] == "10", "first at its next rung, 1 x 3 x 3, too"


def test_a_trial_that_its_search_never_began_is_none(tmp_path, searched):
    found = plan(tmp_path, RATES)
    found.study.ask(dict(found.distributions))  # killed before it had a folder
    code, _, err = searched(RATES, "--trials=2")
    assert code == 0
    assert "0 trials before, 0 to be continued" in err
    assert len(rows(tmp_path)) == 2
    assert list(calls(tmp_path)) == ["trial-0001", "trial-0002"]


def test_the_best_of_trials_of_other_lengths_is_the_best(tmp_path):
    """A training that its patience ended early has fewer validations, not a worse model."""
    found = plan(tmp_path, RATES)
    for scores in ([-90.0, -80.0], [-120.0, -115.0, -113.0]):
        trial = found._ask()
        for number, score in enumerate(scores, 1):
            trial.report(score, number)
        found.study.tell(trial, max(scores))
    assert [trial.value for trial in search.ranked(found)] == [-80.0, -113.0]


def test_a_trial_without_a_number_is_given_up(searched, tmp_path):
    study = plan(tmp_path, RATES).study
    for rate in (0.1, 0.25, 0.2):
        study.enqueue_trial({"config.optim.learning_rate": rate})
    searched(RATES, "--trials=3")
    ends = {row["optim.learning_rate"]: row["end"] for row in rows(tmp_path)}
    assert ends == {"0.1": "done", "0.2": "done", "0.25": "given up"}


def test_the_lock_of_the_journal_is_found_from_any_folder(tmp_path, training, monkeypatch):
    """Optuna asks what the link leads to when a lock is old, and waits for ever where it cannot."""
    made, symlink = [], os.symlink
    record = lambda target, link, **more: made.append(target) or symlink(target, link, **more)
    monkeypatch.setattr(os, "symlink", record)
    monkeypatch.chdir(tmp_path)
    code = search.run([*SEARCHED, RATES, "--trials=1", "--workdir=search"], command=training)
    assert code == 0
    assert set(made) == {str(tmp_path / "search" / "study.log")}


def test_failures_are_written_down_and_do_not_end_the_search(searched, tmp_path):
    code, _, err = searched("--space=optim.learning_rate=0.5,0.1", "--trials=6")
    failed = [row for row in rows(tmp_path) if row["end"] == "the rate is too large"]
    assert code == 0
    assert 0 < len(failed) < 6
    assert "failed: the rate is too large" in err
    searched_again = "--space=optim.learning_rate=0.5,0.5000"
    code, _, err = searched(searched_again, "--trials=1", f"--workdir={tmp_path / 'other'}")
    assert code == 1
    assert "the best" not in err


def test_a_folder_holds_one_search(searched, tmp_path):
    searched(RATES, "--trials=1")
    code, _, err = searched("--space=optim.learning_rate=log(1e-3,0.3)", "--trials=2")
    assert code == 2
    assert "holds a search with other flags" in err
    assert len(calls(tmp_path)) == 1


def test_trials_of_two_configs_are_not_ranked_together(searched, tmp_path):
    text = "from vdp import config\n\n\ndef get_config(arg=''):\n    made = config.load(" \
        "'digits_vae:smoke')\n    made.model.beta = 1.0\n    return made\n"  # fmt: skip
    (tmp_path / "mine.py").write_text(text)
    base = (f"--config={tmp_path}/mine.py",)
    assert searched(RATES, "--trials=1", base=base)[0] == 0
    (tmp_path / "mine.py").write_text(text.replace("1.0", "0.5"))
    code, _, err = searched(RATES, "--trials=2", base=base)
    assert code == 2
    assert "holds a search of another config (model.beta was 1.0, now 0.5)" in err
    later = text.replace("    return made", "    made.eval.every = 3\n    return made")
    (tmp_path / "mine.py").write_text(later)
    code, _, err = searched(RATES, "--trials=2", base=base)
    assert (code, "eval.every was" in err) == (2, True), "trials are compared there"
    assert len(calls(tmp_path)) == 1


def test_a_damaged_journal_and_a_run_are_no_searches(searched, tmp_path):
    searched(RATES, "--trials=1")
    with open(tmp_path / "search" / "study.log", "a") as journal:
        journal.write("no JSON\n{}\n")
    code, _, err = searched(RATES, "--trials=2")
    assert code == 2
    assert "study.log is damaged" in err
    (tmp_path / "search" / "config.json").write_text("{}")
    code, _, err = searched(RATES, "--trials=2")
    assert code == 2
    assert "is the folder of a run" in err
