"""Sweeps as jobs of Slurm, by submitit and stand-ins of its programs."""

import os
import pathlib
import signal
import sys

import pytest
from checkout import ROOT
from launching import NORMAL, VDM, calls, planned
from processes import until

from launch import slurm

# configuring logging anew, as submitit does, closes the streams pytest gave to absl's handler
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")


def test_options_that_submitit_takes_as_lists(tmp_path):
    given = {"setup": "module load cuda", "srun_args": "--cpu-bind=none --label", "mem_gb": "8"}
    found = slurm._parameters(given, tmp_path)
    assert found["slurm_setup"] == ["module load cuda"]
    assert found["slurm_srun_args"] == ["--cpu-bind=none", "--label"]
    assert found["mem_gb"] == 8


def test_without_submitit_the_way_to_it_is_said_and_nothing_is_left(swept, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = swept("--launcher=slurm")
    assert code == 2
    assert "error: this launcher needs the library submitit: pip install -e '.[sweep]'" in err
    assert not (tmp_path / "sweep").exists()


def test_jobs_are_requeued_when_stopped_and_compared_when_done(swept, fake, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(ROOT)
    (fake / "fail").write_text(f"{VDM}0")
    (fake / "stop-once").touch()
    code, out, err = swept("--launcher=submitit-local", "--wait")
    assert code == 1
    assert f"failed: {VDM}0: exit code 2: error: the disk is full" in err
    assert "| normal | 1 | -80.00 (exact) |" in out
    assert calls(tmp_path) == {f"{NORMAL}0": 2, f"{VDM}0": 1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_timed_out_job_saves_and_continues(fake, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(ROOT)
    (fake / "slow").touch()
    (run,) = planned("--config=digits_vae", "--grid=prior=vdm", f"--workdir={tmp_path / 'sweep'}")
    command = [sys.executable, str(fake / "main.py")]
    jobs = slurm.submit([run], command, tmp_path / "sweep", "submitit-local", {})
    until((fake / "started").exists)
    (fake / "slow").unlink()
    processes = [jobs[run.name].job_id]
    for _ in range(2):  # submitit's task, and the training it started
        path = pathlib.Path(f"/proc/{processes[-1]}/task/{processes[-1]}/children")
        processes.append(path.read_text().split()[0])
    for process in reversed(processes[1:]):  # Slurm warns all processes of a job
        os.kill(int(process), signal.SIGUSR2)
    slurm.wait(jobs, "submitit-local")
    assert (run.folder / "saved").exists()
    assert run.finished()
    assert calls(tmp_path) == {run.name: 2}


def test_slurm_gets_one_array_and_no_job_twice(swept, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    (tmp_path / "bin").mkdir()
    answers = {"sbatch": "Submitted batch job 12", "srun": "", "squeue": "12_0 12_1", "sacct": ""}
    for name, answer in answers.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {answer}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    flags = ("--launcher=slurm", "--slurm.partition=gpu", "--slurm.timeout_min=600")
    code, out, err = swept(*flags, "--slurm.gpus_per_node=2", "--slurm.signal_delay_s=240")
    assert code == 0, err
    assert out == f"{NORMAL}0: job 12_0\n{VDM}0: job 12_1\n"
    assert "--table-only" in err
    (script,) = (tmp_path / "sweep" / "slurm").glob("*_submission.sh")
    for line in ("--array=0-1%2", "--partition=gpu", "--time=600", "--gpus-per-node=2",
                 "--signal=USR2@240", "--job-name=sweep", "--requeue"):  # fmt: skip
        assert f"#SBATCH {line}" in script.read_text()
    code, out, _ = swept(*flags)
    assert (code, out.count("in the queue as job 12_")) == (0, 2)
    code, _, err = swept(*flags, "--config.train.steps=40")
    assert code == 2
    assert f"{NORMAL}0 is in the queue as job 12_0 with other arguments: scancel 12_0" in err
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho timed out >&2\nexit 1\n")
    code, _, err = swept(*flags)  # what waits is not known: nothing is submitted again
    assert code == 2
    assert "squeue does not say which jobs wait or run (timed out): try again later" in err
    code, _, err = swept("--launcher=slurm", "--slurm.partiton=gpu")
    assert code == 2
    assert "partiton" in err.splitlines()[-1]
