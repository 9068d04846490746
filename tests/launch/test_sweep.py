"""Sweeps: what is run and what is skipped, how they stop, and the numbers of their table."""

import csv
import json
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from checkout import ROOT
from launching import BASE, NORMAL, VDM, calls, planned
from processes import until

from launch import plot, signals, sweep, table
from vdp.runtime.numbers import mean_and_error


def test_a_run_is_the_command_a_person_would_type():
    runs = planned(*BASE, "--grid=config.optim.l2=0,0.1", "--seeds=0,3", "--config.log.every=7")
    assert [(run.point["prior"], run.point["optim.l2"], run.seed) for run in runs] == [
        (prior, l2, seed) for prior in ("normal", "vdm") for l2 in ("0", "0.1") for seed in (0, 3)
    ]
    assert runs[-1].argv == (
        "--config=digits_vae:prior=vdm,smoke",
        "--workdir=runs/sweep-digits_vae-smoke/prior=vdm,optim.l2=0.1/seed-3",
        "--config.seed=3",
        "--config.optim.l2=0.1",
        "--config.log.every=7",
        "--config.eval.estimators=elbo,elbo_discrete,iwae,fid",
    )
    chosen = planned(*BASE, "--workdir=w", "--config.eval.estimators", "elbo")
    assert chosen[0].argv[1] == "--workdir=w/prior=normal/seed-0"
    assert chosen[0].argv[-1] == "--config.eval.estimators=elbo"
    shapes = planned("--config=digits_vae", "--grid=config.model.latent_shape=(8,),(4, 2),2")
    assert [run.point["model.latent_shape"] for run in shapes] == ["(8,)", "(4, 2)", "2"]


def test_every_grid_point_has_a_folder_of_its_own():
    names = ["a/b", "a_b", "a%2Fb", "x" * 300, "x" * 301, "..", "Ü/" * 150]
    folders = [sweep.folder_name({"prior": name}) for name in names]
    assert folders[:3] == ["prior=a%2Fb", "prior=a_b", "prior=a%252Fb"]
    assert len(set(folders)) == len(names)
    assert all("/" not in folder and len(folder.encode()) <= 200 for folder in folders)


def test_a_model_without_estimators_is_asked_for_none():
    (run,) = planned("--config=digits_ae:smoke", "--grid=kind=plain")
    assert not any("estimators" in argument for argument in run.argv)


def test_the_same_command_skips_what_is_finished(swept, tmp_path):
    names = [f"{NORMAL}0", f"{NORMAL}1", f"{VDM}0", f"{VDM}1"]
    code, out, err = swept("--seeds=0,1")
    assert code == 0, err
    assert calls(tmp_path) == dict.fromkeys(names, 1)
    assert f"{VDM}0: run 3 of 4 (" in err
    assert err.index(f"{names[0]}: run 1") < err.index("training") < err.index(f"{names[1]}: run 2")
    record = json.loads((tmp_path / "sweep" / names[3] / "sweep.json").read_text())
    assert record["argv"] == list(
        planned(*BASE, "--seeds=0,1", f"--workdir={tmp_path / 'sweep'}")[3].argv
    )
    code, again, err = swept("--seeds=0,1")
    assert (code, again) == (0, out)
    assert "4 of them finished before" in err
    (tmp_path / "sweep" / names[0] / "eval.json").unlink()
    (tmp_path / "sweep" / names[1] / "eval.json").write_text('{"est')  # cut off
    code, out, _ = swept("--table-only", base=())
    assert (code, out.count("1 unfinished"), "failed" in out) == (0, 0, False)
    assert "2 unfinished" in out
    swept("--seeds=0,1,2")
    new = {f"{NORMAL}2": 1, f"{VDM}2": 1}
    assert calls(tmp_path) == dict.fromkeys(names, 1) | {names[0]: 2, names[1]: 2} | new
    code, everything, _ = swept("--table-only", base=())
    assert code == 0
    assert "| vdm | 3 | -81.00 ± 0.58 (T=inf) |" in everything
    assert sum(calls(tmp_path).values()) == 8


def test_a_failing_run_is_named_and_stops_no_other(swept, fake, tmp_path):
    swept("--seeds=0,1")
    (fake / "fail").write_text(f"{VDM}0")
    other = ("--seeds=0,1", "--config.log.every=9")  # other arguments: all run again
    code, out, err = swept(*other)
    assert code == 1
    assert f"failed: {VDM}0: exit code 2: error: the disk is full" in err
    assert list(calls(tmp_path).values()) == [2, 2, 2, 2]
    rows = [line.strip("| ").split(" | ") for line in out.splitlines()[:4]]
    assert [row[-1] for row in rows] == ["not finished", "---", "0", "1 failed"]
    assert rows[3][:3] == ["vdm", "1", "-81.00 (T=inf)"], "no eval.json of other arguments"
    (fake / "fail").unlink()
    code, out, _ = swept(*other)
    assert (code, "failed" in out) == (0, False)
    assert list(calls(tmp_path).values()) == [2, 2, 3, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_sweep_lets_its_run_save(tmp_path, fake, swept, number):
    (fake / "slow").touch()
    argv, command = [*BASE, f"--workdir={tmp_path / 'sweep'}"], [sys.executable, f"{fake}/main.py"]
    code = f"import sys; from launch import sweep; sys.exit(sweep.run({argv}, {command}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until((fake / "started").exists)
    # Ctrl-C reaches the whole process group
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "the same command continues" in err
    assert (tmp_path / "sweep" / f"{NORMAL}0" / "saved").exists()
    (fake / "slow").unlink()
    (fake / "stop-once").touch()
    assert swept()[:2] == (143, ""), "a run stopped by someone else stops the sweep"
    code, out, _ = swept("--table-only")
    assert (code, out.count("1 unfinished"), list(calls(tmp_path).values())) == (0, 2, [2])
    assert not (tmp_path / "sweep" / "results.png").exists()


def test_what_another_process_still_trains_is_waited_for(swept, fake, tmp_path):
    """The training of a sweep that was killed saves, and holds its folder meanwhile."""
    folder = tmp_path / "sweep" / f"{NORMAL}0"
    folder.mkdir(parents=True)
    program = (
        "import fcntl, sys, time; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(1.5); open(sys.argv[2], 'w')"
    )
    argv = [sys.executable, "-c", program, folder / ".lock", tmp_path / "over"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        code, _, err = swept(base=(BASE[0], "--grid=prior=normal"))
    assert code == 0
    assert err.index("waiting for another process") < err.index("training")
    assert (tmp_path / "over").exists()


def test_a_second_interrupt_ends_a_training_at_once():
    ends = []
    child = types.SimpleNamespace(
        stop=lambda: ends.append("stop"), kill=lambda: ends.append("kill")
    )
    with signals.stopping() as stop:
        stop.child = child
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
    assert ends == ["stop", "stop", "stop", "kill"]


def test_table_csv_and_picture(swept, tmp_path):
    _, out, _ = swept("--seeds=0,1,3")
    # seeds 0, 1, 3: mean 4/3, variance (16 + 1 + 25)/9/2 = 7/3, standard error sqrt(7)/3 = 0.8819
    header, _, normal, vdm = (line.strip("| ").split(" | ") for line in out.splitlines()[:4])
    assert dict(zip(header, vdm, strict=True)) == {
        "prior": "vdm",
        "seeds": "3",
        "ELBO, nats": "-81.33 ± 0.88 (T=inf)",
        "ELBO of the T-step model, nats": "-83.33 ± 0.88 (T=100)",
        "IWAE, nats": "-79.33 ± 0.88 (T=100, K=16)",
        "bits/dim": "1.627 ± 0.018",
        "FID": "23.33 ± 8.82",
        "parameters": "12,345",
        "prior parameters": "678",
        "training, s": "31.3 ± 0.9",
        "sampling, s per 1,000 images": "0.500 ± 0.000",
    }
    found = dict(zip(header, normal, strict=True))
    assert found["ELBO of the T-step model, nats"] == found["FID"] == "–"  # noqa: RUF001
    assert found["ELBO, nats"] == "-81.33 ± 0.88 (exact)"
    for fact in ("test split, 1,360 images", "5,000 samples", "1,257 train images",
                 "features some features", "different models"):  # fmt: skip
        assert fact in out
    assert (tmp_path / "sweep" / "results.md").read_text() == out
    mean, error = mean_and_error([0.0, 1.0, 3.0])
    np.testing.assert_allclose([mean, error], [4 / 3, np.sqrt(7) / 3], rtol=1e-12)

    with open(tmp_path / "sweep" / "results.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["prior"] + row["seed"] for row in rows] == [
        f"{prior}{seed}" for prior in ("normal", "vdm") for seed in (0, 1, 3)
    ]
    assert rows[0]["elbo_discrete.nats.mean"] == rows[0]["fid.value"] == ""
    expected = {
        "status": "finished", "exit_code": "0", "elbo.nats.mean": "-81.0", "elbo.nats.se": "0.5",
        "elbo.model": "T=inf", "iwae.k": "16", "iwae.ess": "3.5", "fid.value": "20.0",
        "train_seconds": "31.0", "sampling.seconds": "0.25", "parameters.prior": "678",
        "rates.1": "2.5", "num_examples": "1360",
    }  # fmt: skip
    assert {key: rows[4][key] for key in expected} == expected
    from PIL import Image

    with Image.open(tmp_path / "sweep" / "results.png") as picture:
        assert picture.width > picture.height > 200
        assert len(np.unique(np.asarray(picture))) > 10
    assert not list((tmp_path / "sweep").glob(".results*"))


def test_one_seed_has_no_error_and_columns_without_numbers_are_left_out(swept):
    _, out, _ = swept(base=("--config=digits_vae", "--grid=prior=normal"))
    assert "| -80.00 (exact) | -78.00 (exact, K=16) |" in out
    assert "FID" not in out
    assert "T-step" not in out


def test_autoencoders_are_compared_by_errors_and_smoothness(tmp_path):
    """Without any bound: no such columns, and no word about bounds."""
    results = []
    for kind, path in (("plain", 1.5), ("robust", 1.25)):
        for seed in (0, 2):
            measures = {name: {"mean": path + seed / 2, "se": 0.1}
                        for name in ("path_ratio", "unevenness", "nonlinearity")}  # fmt: skip
            values = {"split": "test", "num_examples": 360, "mse": 0.012 + seed / 1000}
            values["estimators"] = {"elbo": None, "iwae": None}
            values["interpolation"] = {"steps": 16, "pairs": 180, "skipped": 0, **measures}
            results.append(table.Result({"kind": kind}, seed, tmp_path, "finished", {}, values))
    text = table.write(tmp_path, results)
    lines = text.splitlines()
    assert lines[0] == (
        "| kind | seeds | mse of reconstructions | path ratio | unevenness | nonlinearity |"
    )
    same = "| ".join(["2.000 ± 0.500 "] * 3)
    assert lines[2] == f"| plain | 2 | 0.0130 ± 0.0010 | {same}|"
    assert lines[3].startswith("| robust | 2 | 0.0130 ± 0.0010 | 1.750 ± 0.500 |")
    assert "180 pairs of codes, decoded in 16 steps" in text
    assert "bound" not in text
    plot.draw(tmp_path / "results.png", results)
    assert (tmp_path / "results.png").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], ["--config", "digits_vae"]),
        (["--config=digits_vae"], ["--grid"]),
        ([*BASE, "--launcher=cloud"], ["cloud", "local, slurm, submitit-local"]),
        ([BASE[0], "--grid=prior=normal,"], ["prior=normal,", "empty"]),
        ([BASE[0], "--grid=prior"], ["prior", "KEY=VALUE"]),
        ([BASE[0], "--grid=prior=vdm,vdm"], ["twice"]),
        ([*BASE, "--grid=prior=vdm"], ["prior", "twice"]),
        ([*BASE, "--grid=optim.l2=1", "--grid=config.optim.l2=2"], ["optim.l2", "twice"]),
        ([*BASE, "--grid=optim.l2=1", "--config.optim.l2=2"], ["config.optim.l2"]),
        ([*BASE, "--grid=train.steps=1,2", "--config.train.epochs=5"], ["same length"]),
        ([*BASE, "--grid=train.steps=1,2", "--grid=train.epochs=1,2"], ["same length"]),
        ([*BASE, "--seeds=0,x"], ["0,x", "integers"]),
        ([*BASE, "--seeds="], ["integers"]),
        ([*BASE, "--seeds=-1"], ["config.seed", "at least 0"]),
        ([*BASE, "--seeds=4294967296"], ["config.seed", "at most 4294967295"]),
        ([*BASE, "--seeds=１"], ["integers"]),  # noqa: RUF001
        ([*BASE, "--seeds=1,2,1"], ["twice"]),
        ([*BASE, "--config.seed=1"], ["--seeds"]),
        ([*BASE, "--sedes=1"], ["--sedes"]),
        ([*BASE, "--config.log.every"], ["needs a value"]),
        ([*BASE, "--slurm.partition=gpu"], ["--launcher=slurm"]),
        (["--config=digits_vae", "--grid=prior=normal,vmd"], ["vmd", "vdm"]),
        (["--config=nope", "--grid=prior=normal"], ["nope", "digits_vae"]),
        ([*BASE, "--grid=config.optim.lr=1"], ["optim.lr", "optim.l2"]),
        ([*BASE, "--config.trian.steps=1"], ["trian.steps", "train"]),
        ([*BASE, "--table-only"], ["holds no runs"]),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(swept, tmp_path, argv, says):
    code, _, err = swept(*argv, base=())
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    for word in says:
        assert word in err
    assert not (tmp_path / "sweep").exists()


def test_help_and_imports_are_light():
    code = (
        "import sys; from launch import sweep; code = sweep.run(['--help']); "
        "print([m for m in ('jax', 'numpy', 'matplotlib', 'submitit') if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
    assert "examples:" in done.stdout


def test_a_workdir_at_home_is_where_its_runs_train(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    argv = ["--config=digits_vae", "--grid=prior=normal", "--workdir=~/sweep"]
    flags, overrides, _ = sweep.parse(argv)
    (run,) = sweep.plan(flags, overrides)
    assert run.folder == tmp_path / "sweep/prior=normal/seed-0"
    assert f"--workdir={run.folder}" in run.argv
