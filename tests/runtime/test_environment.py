"""What the command line sets before jax starts."""

import os
import subprocess
import sys

from checkout import ROOT


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

    quick = ["--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false"]
    exact = ["--xla_gpu_deterministic_ops=true"]
    own = "--xla_backend_optimization_level=2"
    both = ("--config.train.quick_compile=True", "--config.train.deterministic=True")
    assert flags() == []
    assert flags("--config=digits_dvp:smoke") == quick
    assert flags("--config=digits_vdm:smoke") == []
    assert flags(*both) == exact + quick
    assert flags(*both, given=own) == [own, *exact, quick[1]]
