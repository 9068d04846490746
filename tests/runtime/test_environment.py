"""What the command line sets before jax starts."""

import importlib.metadata
import os
import subprocess
import sys

import pytest
from checkout import ROOT

from vdp.runtime import xla_options


def test_what_a_config_asks_of_the_compiler_is_set_before_jax_starts_and_never_over_the_users():
    code = (
        "import os, sys; from vdp.modes import describe as mode; from vdp import main\n"
        "mode.main = lambda *_, **__: print(os.environ.get('XLA_FLAGS', ''))\n"
        "main._program(sys.argv[1:])\n"
    )

    def flags(*asked: str, given: str = "") -> list[str]:
        command = [sys.executable, "-c", code, "--mode=describe", "--config=digits_vae", *asked]
        environment = {**os.environ, "XLA_FLAGS": given, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
        return done.stdout.split()

    quick = xla_options.flags({"quick_compile"})
    assert quick[0] == "--xla_backend_optimization_level=0"
    exact = ["--xla_gpu_deterministic_ops=true"]
    own = "--xla_backend_optimization_level=2"
    both = ("--config.train.quick_compile=True", "--config.train.deterministic=True")
    assert flags() == []
    assert flags("--config=digits_dvp:smoke") == quick
    assert flags("--config=digits_vdm:smoke") == []
    assert flags(*both) == exact + quick
    assert flags(*both, given=own) == [own, *exact, *quick[1:]]


def test_numbers_are_not_the_environments_to_choose():
    """A run that goes on would go on to others."""
    code = (
        "{}import sys; from vdp.modes import describe as mode; from vdp import main\n"
        "def shown(*_, **__):\n"
        "    import jax; print(jax.random.key(0).dtype, jax.numpy.ones(1, float).dtype)\n"
        "mode.main = shown; main._program(sys.argv[1:])\n"
    )
    asked = ("--mode=describe", "--config=digits_vae:smoke")
    given = {"JAX_ENABLE_X64": "1", "JAX_DEFAULT_PRNG_IMPL": "rbg", "PYTHONPATH": str(ROOT)}
    for first in ("", "import jax; "):
        command = [sys.executable, "-c", code.format(first), *asked]
        environment = os.environ | given
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
        assert done.stdout.split() == ["key<fry>", "float32"]
        said = [line.partition(" ")[0] for line in done.stderr.splitlines()]
        assert said == ["JAX_ENABLE_X64=1", "JAX_DEFAULT_PRNG_IMPL=rbg"]


def test_xla_knows_all_options_that_this_jaxlib_is_given():
    """It ends the process at one that it does not know."""
    given = xla_options.flags({option.asked_by for option in xla_options.OPTIONS})
    environment = {**os.environ, "XLA_FLAGS": " ".join(given)}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert given
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("version", "known"), [("0.10.2", True), ("0.11.0", False), ("0.12.0.dev20261101", False)]
)
def test_an_option_that_jaxlib_has_dropped_is_left_out(monkeypatch, version, known):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    dropped = "--xla_cpu_use_fusion_emitters=false"
    assert (dropped in xla_options.flags({"quick_compile"})) == known
