"""Real processes, joined on loopback by what each scheduler sets in their environment."""

import contextlib
import functools
import http.server
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import yaml
from checkout import ROOT
from launching import TEMPLATE, pod_environment
from processes import COMMAND, assert_bitwise, environment, final_state, metrics, stopped_at, until

from vdp.record import read_run
from vdp.runtime.metric_log import read_metrics

JOIN = """
import os, sys, time
from vdp.runtime import parallel
parallel.initialize("--multihost" in sys.argv)
import jax, numpy as np
from jax.experimental import multihost_utils
ids = multihost_utils.process_allgather(np.asarray(jax.process_index()))
print(jax.process_index(), ids.tolist(), jax.device_count())
"""
ON_A_TPU_HOST = """
import os
from jax._src.clusters import cloud_tpu_cluster
cloud_tpu_cluster.running_in_cloud_tpu_vm = True
del os.environ["TPU_SKIP_MDS_QUERY"]  # set by jax where there is no TPU
"""


def free_port(low=1024):
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", random.randrange(low, 65536)))
            return sock.getsockname()[1]


def together(code, environments, *argv):
    """Starts one process for each environment; returns [(exit code, stdout, stderr)]."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *argv], env=environment(1, **extra), cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for extra in environments
    ]  # fmt: skip
    ends = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)]


def assert_joined(ends):
    assert [code for code, _, _ in ends] == [0, 0], ends
    lines = [out.splitlines()[-1] for _, out, _ in ends]
    assert lines == ["0 [0, 1] 2", "1 [0, 1] 2"]


def slurm_step():
    """Of two tasks on one node, as srun sets it for each."""
    port = free_port(61440)  # jax takes it from the job's number
    step = {
        "SLURM_JOB_ID": str(port - 61440 + 4096), "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_NODES": "1",
    }  # fmt: skip
    return [step | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2)]


def test_tasks_of_a_slurm_step_join():
    assert_joined(together(JOIN, slurm_step()))


def test_pods_of_a_jobset_join():
    """By the manifest's own environment; the first pod's name alone is not known here."""
    manifest = yaml.safe_load(TEMPLATE.read_text())
    manifest["metadata"]["name"] = "dvp"
    pods = [pod_environment(manifest, index) for index in range(2)]
    port = free_port()
    for pod in pods:
        assert pod["JAX_COORDINATOR_ADDRESS"] == "dvp-train-0-0.dvp:8476"
        pod["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{port}"
        pod["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"  # in every pod; jax would look for a package
    ends = together(JOIN, pods)
    assert_joined(ends)
    assert "kubernetes" not in ends[0][2].lower()


class Metadata(http.server.BaseHTTPRequestHandler):
    """What the hosts of a slice ask who they are."""

    def __init__(self, worker, *args):
        endpoints = ",".join(["name:id:127.0.0.1"] * 2)
        self.attributes = {
            "agent-worker-number": worker, "worker-network-endpoints": endpoints, "tpu-env": "",
        }  # fmt: skip
        super().__init__(*args)

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.attributes[self.path.rpartition("/")[2]].encode())

    def log_message(self, *args):
        pass


@pytest.mark.slow
def test_hosts_of_a_tpu_slice_join():
    servers = [
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Metadata, str(i)))
        for i in range(2)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    port = {"JAX_COORDINATOR_PORT": str(free_port())}
    hosts = [{"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"} | port for server in servers]
    ends = together(ON_A_TPU_HOST + JOIN, hosts, "--multihost")
    for server in servers:
        server.shutdown()
    assert_joined(ends)


def by_hand():
    address = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    return [address | {"JAX_PROCESS_ID": str(i)} for i in range(2)]


DECIDE = f"""{JOIN}
me = jax.process_index()
assert parallel.of_writer(10 + me) == 10
assert parallel.alike("the same") and not parallel.alike(f"of {{me}}")
print(me, ids.tolist(), jax.device_count())
"""


def test_processes_agree_on_what_each_has_read():
    """Also on what the writer alone sees, and on whether all have the same."""
    assert_joined(together(DECIDE, by_hand()))


WITHOUT_IMAGES = """
import os, sys
from vdp import main
from vdp.errors import UserError
from vdp.modes import sample
if os.environ["JAX_PROCESS_ID"] == "1":
    def absent(*args, **more):
        raise UserError("there are none here")
    sample.identity.load = absent
sys.exit(main.run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_where_one_process_has_no_images_all_draw_without_them(copied_run):
    argv = ("--mode=sample", f"--workdir={copied_run}", "--config.sample.seed=3")
    first, second = together(WITHOUT_IMAGES, by_hand(), *argv)
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "no pictures of test images: not all processes have them" in first[2]
    assert "no pictures" not in second[2]
    assert list(copied_run.glob("samples/other-*/samples.png"))


FAIL = "parallel.leave(2); sys.exit(2)"


def test_a_process_that_fails_alone_does_not_wait_for_the_others():
    """At exit jax waits for all of them, and they may be waiting for this one."""
    started = time.monotonic()
    code = f"{JOIN}\nif jax.process_index() == 0: {FAIL}\ntime.sleep(90)"
    ends = together(code, by_hand())
    assert ends[0][0] == 2
    assert ends[1][0] not in (0, 143)
    assert time.monotonic() - started < 80


@pytest.mark.slow
def test_processes_that_fail_alike_all_end_with_their_own_code():
    ends = together(f"{JOIN}\ntime.sleep(2 * jax.process_index()); {FAIL}", by_hand())
    assert [code for code, _, _ in ends] == [2, 2], ends


@pytest.fixture
def start():
    """Starts a command over a real training; nothing of it outlives the test."""
    started = []

    def start_one(*command, **extra):
        started.append(subprocess.Popen(
            [*command, *COMMAND], env=environment(1, **extra), cwd=ROOT, start_new_session=True,
            stderr=subprocess.PIPE, text=True,
        ))  # fmt: skip
        return started[-1]

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def launch(start):
    """The local launcher with two real processes."""
    two = (sys.executable, "-m", "launch.local", "2")
    return lambda workdir: start(*two, f"--workdir={workdir}")


def finished(launcher, code=0):
    _, err = launcher.communicate(timeout=300)
    assert launcher.returncode == code, err
    return err


def children(process):
    """Process ids, in the order of their start."""
    path = pathlib.Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_run_that_was_stopped_and_killed_ends_like_one_that_was_not(launch, tmp_path):
    """Bitwise, and the local launcher says by its exit code what happened."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    err = finished(launch(whole))
    assert "2 x cpu" in err
    assert err.count("done in") == 1, "one process speaks"

    first = launch(broken)
    until((broken / "checkpoints" / "20").exists, seconds=200)
    first.terminate()
    step = stopped_at(finished(first, 143))
    assert (broken / "checkpoints" / str(step)).exists()

    second = launch(broken)
    until(lambda: read_metrics(broken / "metrics.jsonl")[-1]["step"] > step, seconds=200)
    os.kill(children(second.pid)[1], signal.SIGKILL)
    assert f"resuming at step {step}" in finished(second, 128 + signal.SIGKILL)
    assert not (broken / "eval.json").exists()

    assert "resuming at step" in finished(launch(broken))
    assert (broken / "eval.json").exists()
    assert_bitwise(final_state(whole), final_state(broken))
    # A stop between two lines of the log is a line of its own.
    every = read_run(whole).settings.log.every
    uncut = lambda lines: [m for m in lines if not step - every < m["step"] < step + every]
    assert uncut(metrics(whole)) == uncut(metrics(broken))


SRUN = """
shift
export SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_NODES=1
for id in 0 1; do
  SLURM_PROCID=$id SLURM_LOCALID=$id "$@" & tasks+=($!)
done
echo "${tasks[@]}" > $HERE/tasks
code=0
for task in "${tasks[@]}"; do
  wait $task || { ended=$?; (( code = ended > code ? ended : code )); }
done
exit $code
"""


@pytest.mark.slow
def test_a_slurm_job_is_requeued_and_continues(stub, start, tmp_path):
    """The tasks hear of the time limit, save, and the job that starts again finishes the run."""
    stub("srun", SRUN)
    scontrol = stub("scontrol")
    script, workdir = ROOT / "launch" / "slurm.sbatch", tmp_path / "run"
    number = slurm_step()[0]["SLURM_JOB_ID"]
    given = {"SLURM_JOB_ID": number, "PYTHON": sys.executable}
    sbatch = functools.partial(start, "bash", script, f"--workdir={workdir}", **given)
    first = sbatch()
    until((workdir / "checkpoints" / "20").exists, seconds=200)
    for task in (tmp_path / "tasks").read_text().split():
        os.kill(int(task), signal.SIGTERM)
    step = stopped_at(finished(first, 143))
    assert scontrol() == [["requeue", number]]
    assert f"resuming at step {step}" in finished(sbatch())
    assert len(scontrol()) == 1


@pytest.mark.slow
def test_a_workdir_in_use_is_said_at_once(launch, tmp_path):
    """By the first process; the others do not hold it back."""
    from vdp.runtime import files

    with files.lock(tmp_path):
        err = finished(launch(tmp_path), 2)
    assert err.count("error: another process is training") == 1
