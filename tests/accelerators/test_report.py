"""What is asked for, refused and said; with the compilers themselves where they are installed."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import pytest
from checkout import ROOT

from vdp import build, config
from vdp.accelerators import compiling, estimate, programs, report, targets
from vdp.accelerators.chips import CHIPS
from vdp.accelerators.compiling import Chips
from vdp.data import datasets
from vdp.errors import UserError
from vdp.modes import describe
from vdp.runtime import parallel
from vdp.settings import Settings
from vdp.training import state

SMOKE = "--config=digits_vae:smoke"
STEP = {
    "flops": {"half": 989.4e12, "full": 66.9e12},
    "moved_bytes": 3.352e12 * 2.5,
    "kernels": {"computing": 1000, "library": 200},
    "collectives": {"all-reduce": {"count": 2, "bytes": 450e9}},
}


@pytest.mark.parametrize(
    ("text", "devices", "topology"),
    [("h100", 1, "1x1x1"), ("a100:8", 8, "1x1x8"), ("v5e", 1, "v5e:2x2")]
    + [("v6e:4x4", 16, "v6e:4x4"), ("v5p:2x2x2", 8, "v5p:2x2x2")],
)
def test_a_target_is_a_chip_and_how_many(text, devices, topology):
    target = targets.parse(text)
    assert (target.devices, target.topology) == (devices, topology)
    assert target.chip is CHIPS[text.partition(":")[0]]


@pytest.mark.parametrize(
    "text", ["h100:0", "h100:9", "h100:", "h100:2x2", "v5e:4", "v5e:2x2x1", "v5p:2x2", "v5e:0x2"]
)
def test_shapes_that_there_are_not_are_refused(text):
    with pytest.raises(UserError, match=r"describe\.target"):
        targets.parse(text)


def test_the_command_refuses_in_one_sentence(refused, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    mode = ("--mode=describe", SMOKE)
    refused(*mode, "--config.describe.target=h10", says=["mean h100?", "v5e"])
    refused(*mode, "--config.describe.fit=True", says=["--config.describe.target=h100"])
    refused(*mode, "--config.describe.programs=trian", says=["mean train?"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for chip, extra in (("h100", "cuda"), ("v5e:2x2", "tpu")):
        refused(*mode, f"--config.describe.target={chip}", says=["pip install", f"[{extra}]"])


def test_the_floor_is_the_slowest_of_three_and_launches():
    parts = estimate.floor(STEP, CHIPS["h100"], 4)
    assert parts["arithmetic"] == pytest.approx(2.0)
    assert parts["memory"] == pytest.approx(2.5)
    assert parts["links"] == pytest.approx(2 * 3 / 4)
    assert parts["launches"] == pytest.approx(1200 * 2.5e-6)
    assert parts["total"] == pytest.approx(2.5 + 0.003)
    assert estimate.floor(STEP, CHIPS["v5e"], 4)["launches"] == 0


def test_the_training_step_is_that_of_an_accelerator():
    settings = config.settings("digits_vae:prior=normal,smoke")
    facts = datasets.describe(settings.data)
    chips = Chips(target=targets.parse("h100"), mesh=parallel.make_mesh())
    planned = programs.planned("train", settings, facts, chips)
    assert planned.steps == 10  # half of train.steps: a validation comes every ten
    scans = [e.params["length"] for e in planned.traced.jaxpr.eqns if e.primitive.name == "scan"]
    assert planned.steps in scans
    described = describe.describe(settings, facts)["flops_per_example"] * planned.batch_size
    assert planned.flops.total() == pytest.approx(described, rel=0.01)


def test_hours_end_with_the_time_that_a_training_is_given(monkeypatch):
    monkeypatch.setattr(estimate, "of_program", lambda *_: {"floor_seconds": {"total": 0.36}})
    settings = config.settings("digits_vae:prior=normal,smoke")
    chips = Chips(target=targets.parse("h100"), mesh=parallel.make_mesh())
    for seconds, hours in ((0.0, 1.0), (1800.0, 0.5), (7200.0, 1.0)):
        told = settings.replace(train=dict(steps=10_000, seconds=seconds))
        assert report.describe(told, chips=chips)["hours"] == pytest.approx(hours)


def test_the_state_of_a_training_is_written_where_it_was():
    """Donated: a step needs no room for a second state."""
    settings = config.settings("digits_vae:prior=normal,smoke")
    facts, mesh = datasets.describe(settings.data), parallel.make_mesh()
    chips = Chips(target=targets.parse("h100"), mesh=mesh)
    planned = programs.planned("train", settings, facts, chips)
    template = state.template(settings, build.model(settings.model, facts), facts.shape, mesh)[1]
    memory = planned.traced.lower().compile().memory_analysis()
    leaves = jax.tree.leaves(template)
    assert memory.alias_size_in_bytes == sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def test_the_table_says_what_was_found(capsys):
    memory = {"arguments": 2**20, "outputs": 2**20, "temporaries": 3 * 2**30, "aliased": 2**20}
    program = STEP | {
        "batch_size": 64, "steps_per_dispatch": 100, "compile_seconds": 61.0, "fits": True,
        "memory": memory | {"code": 0, "total": sum(memory.values()) - 2 * 2**20},
        "loops": {"outermost": 1, "of_unknown_length": 2},
        "floor_seconds": estimate.floor(STEP, CHIPS["h100"], 8),
    }  # fmt: skip
    result = {
        "target": "h100:8", "chip": CHIPS["h100"].name, "devices": 8, "fsdp": True,
        "room_bytes": 60 * 2**30, "programs": {"train": program}, "hours": 2.5,
        "device_hours": 20.0,
        "largest": {"batch_size": 512, "memory": 2**35, "refused": 520, "tried": {"64": 2**32}},
    }  # fmt: skip
    text = report.table(result)
    for words in (
        "8 x NVIDIA H100 80GB HBM3, FSDP", "3.001 GiB (1 MiB arguments, 3 GiB temporaries",
        "1,200 (1,000 computing, 200 library)", "2 of unknown length", "2h30m, 20 device-hours",
        "512 images, 32 GiB of 60 GiB, 520 do not fit", "white paper", "CUDA graphs",
    ):  # fmt: skip
        assert words in text


INSTALLED = {
    chip: any(map(importlib.util.find_spec, compiling.PACKAGES[CHIPS[chip].compiler]))
    for chip in CHIPS
}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["h100:2", "v5e:2x2"])
def test_the_compilers_themselves(target):
    """In a process of its own: a TPU's compiler loads once, and jax must not look for devices."""
    if not INSTALLED[target.partition(":")[0]]:
        pytest.skip("its compiler is not installed")
    command = [sys.executable, "-m", "vdp.main", "--mode=describe", SMOKE]
    command += [f"--config.describe.target={target}", "--config.describe.programs=train,eval"]
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    description = json.loads(done.stdout.splitlines()[-1])
    found, parameters = description["target"], description["parameters"]["total"]
    step = found["programs"]["train"]
    assert found["devices"] == targets.parse(target).devices
    assert step["kernels"]["computing"] > 50
    # all gradients, but for those of a schedule that every device computes alike
    assert step["collectives"]["all-reduce"]["bytes"] == pytest.approx(4 * parameters, rel=0.05)
    assert 0 < step["floor_seconds"]["total"] < 0.1
    assert step["loops"] == {"outermost": 1, "of_unknown_length": 0}


def test_settings_of_a_target_change_no_run():
    assert Settings().describe.target == ""
    assert jax.default_backend() == "cpu"
