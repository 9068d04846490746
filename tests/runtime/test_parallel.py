"""One device, eight devices, two processes: the same numbers."""

import json
import re
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from checkout import ROOT
from first_step import ROUNDED
from processes import COMMAND, environment, final_state, metrics, stopped_at, wait_for

from vdp import config, main
from vdp.errors import Fault, UserError
from vdp.runtime import parallel
from vdp.training import fit


@pytest.fixture(scope="module")
def eight():
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "eight_devices.py"],
        env=environment(8), capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_one_device_equals_eight(eight):
    assert eight["devices"] == 8
    assert len(set(eight["losses"]["one"])) == 3
    same_as_one_device(eight, "eight", rtol=1e-4)


def same_as_one_device(eight, name, rtol=2e-4):
    np.testing.assert_allclose(eight["losses"]["one"], eight["losses"][name], rtol=1e-4)
    assert eight["params"][name] < rtol


def test_sharded_parameters_change_nothing(eight):
    assert eight["fsdp_leaves"] > 0
    same_as_one_device(eight, "fsdp")


def test_each_device_draws_its_share_of_samples(eight):
    """Draws have no batch whose images lie on devices: all of them would draw everything."""
    assert eight["drawn"]["difference"] < 1e-5
    assert eight["drawn"]["share"] < 0.15


def test_streamed_images_are_the_same_and_reach_their_device_alone(eight):
    assert eight["streamed"]["same"]
    assert eight["streamed"]["rows"] == [3 * 2] * 8
    assert eight["streamed"]["shards"] == [[3, 2]] * 8


def test_microbatches_of_sharded_parameters_change_nothing(eight):
    same_as_one_device(eight, "micro")


def test_states_are_restored_on_other_numbers_of_devices(eight):
    assert eight["restored_elsewhere"] == []


def test_pmap_equals_jit(eight):
    """pmean over shards gives the global gradient, not N times it."""
    assert eight["pmap"]["gradients"] < 1e-2
    assert eight["pmap"]["metrics"] < 1e-3
    assert eight["pmap"]["state"] < 1e-2


@pytest.mark.slow
def test_evaluation_on_another_number_of_devices(copied_run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vdp.main", "--mode=eval", f"--workdir={copied_run}",
         "--config.eval.split=validation", "--config.eval.estimators=elbo"],
        env=environment(4), capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = copied_run.glob("eval-best-validation-other-*.json")
    many = json.loads(path.read_text())
    assert main.run(["--mode=eval", f"--workdir={copied_run}", "--config.eval.split=validation",
                     "--config.eval.estimators=elbo"]) == 0  # fmt: skip
    one = json.loads(path.read_text())
    nats = [r["estimators"]["elbo"]["nats"]["mean"] for r in (one, many)]
    np.testing.assert_allclose(nats[0], nats[1], rtol=1e-5)


def start_several(workdir, *argv, number=2, devices=2):
    """The processes of one job on loopback."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "vdp.main", *COMMAND, f"--workdir={workdir}", *argv]
    addresses = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(number)}
    return [
        subprocess.Popen(
            command, env=environment(devices, JAX_PROCESS_ID=str(i), **addresses),
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for i in range(number)
    ]  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_and_one_resumes(tmp_path, cli):
    """jax.distributed on loopback; then one process continues to the end."""
    constant = ["--config.optim.schedule=constant"]
    processes = start_several(tmp_path / "two", *constant, "--config.train.steps=20")
    errors = [p.communicate(timeout=300)[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], errors
    assert "4 x cpu" in errors[0]
    assert "steps/s" not in errors[1], "only the first process speaks"
    code, _, err = cli(*COMMAND, *constant, f"--workdir={tmp_path / 'two'}")
    assert code == 0, err
    assert "resuming at step 20" in err
    code, _, err = cli(*COMMAND, *constant, f"--workdir={tmp_path / 'one'}")
    assert code == 0, err
    steps = [m["step"] for m in metrics(tmp_path / "two")]
    assert steps == sorted(steps)
    for a, b in zip(
        jax.tree.leaves(final_state(tmp_path / "two", 60).ema),
        jax.tree.leaves(final_state(tmp_path / "one", 60).ema),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=2e-3)


@pytest.mark.slow
def test_two_jobs_of_two_processes_train_one_classifier(tmp_path, monkeypatch):
    """The second job waits for the first one's classifier, with all of its processes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = ["--config.train.steps=20", "--config.eval.estimators=fid", "--config.log.every=20"]
    jobs = [start_several(tmp_path / name, *asked, devices=1) for name in ("a", "b")]
    errors = [process.communicate(timeout=900)[1] for job in jobs for process in job]
    assert [process.returncode for job in jobs for process in job] == [0] * 4, errors
    said = "training a classifier for the features of FID"
    assert sorted(said in error for error in errors) == [False, False, False, True]
    found = [json.loads((tmp_path / name / "eval.json").read_text())["fid"] for name in ("a", "b")]
    assert found[0]["features"] == found[1]["features"]
    assert np.isfinite([fid["value"] for fid in found]).all()


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_devices_and_other_places(tmp_path):
    """Eight devices with sharded parameters; then one with microbatches and streamed images."""
    rounded = [f"--config.{field}={value}" for field, value in ROUNDED.items()]
    wide = ["--config.model.encoder.width=128", "--config.optim.schedule=constant"]
    places = [
        (8, ["--config.train.fsdp=True"]),
        (1, ["--config.train.microbatches=2", "--config.data.placement=host"]),
    ]
    for name, (steps, (devices, argv)) in {
        "moved": (30, places[0]), "moved again": (60, places[1]), "stayed": (60, places[1]),
    }.items():  # fmt: skip
        workdir = tmp_path / name.removesuffix(" again")
        done = subprocess.run(
            [sys.executable, "-m", "vdp.main", *COMMAND, *rounded, *wide, *argv,
             f"--workdir={workdir}", f"--config.train.steps={steps}"],
            env=environment(devices), capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"{devices} x cpu" in done.stderr
    moved, stayed = (
        jax.tree.leaves(final_state(tmp_path / name, 60).ema) for name in ("moved", "stayed")
    )
    assert max(leaf.size for leaf in moved) >= parallel.FSDP_MIN_SIZE
    for a, b in zip(moved, stayed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_sigterm_to_one_of_two_processes_stops_both(tmp_path):
    """With several steps a dispatch, which jax's own preemption counter would miss."""
    argv = ["--config.train.steps=100000", "--config.train.steps_per_dispatch=4"]
    processes = start_several(tmp_path, *argv)
    wait_for(lambda: (tmp_path / "checkpoints" / "20").exists(), processes[0])
    processes[1].send_signal(signal.SIGTERM)
    errors = [p.communicate(timeout=300)[1] for p in processes]
    assert [p.returncode for p in processes] == [143, 143], errors
    assert (tmp_path / "checkpoints" / str(stopped_at("".join(errors)))).exists()


@pytest.mark.slow
def test_when_one_of_four_processes_is_killed_the_others_end_and_the_run_goes_on(tmp_path, cli):
    """Each with a device of its own, which it streams its images to."""
    argv = [*COMMAND, f"--workdir={tmp_path}", "--config.data.placement=host",
            "--config.train.steps=1000", "--config.checkpoint.every=20"]  # fmt: skip
    processes = start_several(tmp_path, *argv[len(COMMAND) :], number=4, devices=1)
    wait_for(lambda: (tmp_path / "checkpoints" / "20").exists(), processes[0], seconds=300)
    processes[2].kill()
    errors = [p.communicate(timeout=300)[1] for p in processes]
    codes = [p.returncode for p in processes]
    assert codes.pop(2) == -signal.SIGKILL
    assert set(codes) <= {1, -signal.SIGABRT}, errors[0]  # jax aborts where it notices first
    for code, error in zip([p.returncode for p in processes], errors, strict=True):
        assert code != 1 or "error: another process of this run seems to have ended" in error
    code, _, err = cli(*argv)
    assert code == 0, err
    assert int(re.search(r"resuming at step (\d+)", err)[1]) >= 20


@pytest.mark.parametrize(
    ("processes", "text", "says"),
    [
        (4, "UNKNOWN: Gloo AllGather failed: Connection closed by peer [127.0.0.1]", True),
        (4, "ncclRemoteError: possibly a network error or a remote process exiting", True),
        (4, "Incompatible shapes for broadcasting", False),
        (1, "Connection closed by peer", False),
    ],
)
def test_a_process_without_its_others_says_so(monkeypatch, processes, text, says):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    explained = main._explained(ValueError(text), config.settings("digits_vae:smoke"), "train")
    assert ("another process of this run" in str(explained)) == says
    assert isinstance(explained, Fault) == says


def test_batch_has_to_fall_evenly_on_the_devices():
    parallel.check_batch_size(8, 16, "train.batch_size")
    with pytest.raises(UserError, match="multiple of 8 devices"):
        parallel.check_batch_size(8, 12, "train.batch_size")


def test_both_batch_sizes_are_asked_for_before_data_is_read(monkeypatch):
    class Mesh:
        size = 16

    monkeypatch.setattr(parallel, "make_mesh", lambda: Mesh)
    settings = config.settings("cifar10_dvp")
    with pytest.raises(UserError, match=r"eval\.batch_size=250 must be a positive multiple of 16"):
        fit.check_batch_sizes(settings)
    # as the commands of docs/clusters.md have it
    fit.check_batch_sizes(settings.replace(eval=dict(batch_size=256)))


def test_incomplete_addresses_are_refused(refused, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    refused("--config=digits_vae:smoke", "--mode=describe", says=["JAX_NUM_PROCESSES"])
