"""`--mode=check` and what is looked at before every training, on components from outside."""

import os
import subprocess
import sys

import pytest
from checkout import ROOT

from vdp import build, config
from vdp.data import datasets

pytestmark = pytest.mark.usefixtures("broadcasting")

PRIOR = """
import jax, jax.numpy as jnp
from vdp.dists import standard_normal
from vdp.priors import DensityPrior

class Mine(DensityPrior):
    def init(self, rng, z_shape, *, x_shape=None, data=None):
        return {{}}, {{}}
    def log_prob(self, params, stats, z, encode=None):
        return {log_prob}
    def sample(self, params, stats, rng, num, *, z_shape, encode=None):
        return {sample}
make = Mine
"""
RIGHT = dict(
    log_prob="standard_normal(z).log_prob(z)", sample="jax.random.normal(rng, (num, *z_shape))"
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a prior whose parts are replaced; returns its name in a config."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, **parts):
        (tmp_path / f"{name}.py").write_text(PRIOR.format(**RIGHT | parts))
        return f"{name}.make"

    return write


def test_a_prior_without_its_constant_is_no_bound(written, cli):
    name = written("unnormalised", log_prob="standard_normal(z).log_prob(z) + z[0].size / 2")
    code, out, err = cli("--mode=check", f"--config=digits_vae:prior={name}")
    assert code == 2, err
    lines = [line for line in out.splitlines() if "BROKEN" in line]
    assert lines
    assert all("integrates to one" in line for line in lines), out
    assert f"prior {name} (config.model.prior): the density integrates to one" in err
    assert out.count("\n  ") == 11, "one's own alone"


WRONG = [
    (dict(log_prob="standard_normal(z).log_prob(z)[:, None]"), "the shape (3, 3)"),
    (dict(log_prob="standard_normal(z).log_prob(z).sum()"), "the shape ()"),
    (dict(log_prob="standard_normal(z).log_prob(z).astype(jnp.bfloat16)"), "bfloat16"),
    (dict(sample="jax.random.normal(rng, (num, 1, *z_shape))"), "sample gives the shape"),
    (dict(sample="jnp.zeros((num, *z_shape), int)"), "sample gives int32"),
]


def test_another_shape_or_type_is_refused_before_training(written, tmp_path):
    """In a process of its own, where annotations are not checked before."""
    names = [written(f"shaped{i}", **parts) for i, (parts, _) in enumerate(WRONG)]
    code = """
import sys
from vdp import main
for name in sys.argv[1:]:
    assert main.run([f"--config=digits_vae:prior={name},smoke", "--workdir=run"]) == 2
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for error, name, (_, says) in zip(errors, names, WRONG, strict=True):
        assert f"prior {name} (config.model.prior)" in error
        assert says in error
    assert not (tmp_path / "run").exists()


def test_what_is_looked_at_costs_no_second_trace_of_what_is_shipped(monkeypatch):
    """Only components from outside are traced by themselves."""
    from vdp.checks import outputs

    monkeypatch.setattr(outputs, "of_prior", None)
    monkeypatch.setattr(outputs, "of_likelihood", None)
    settings = config.settings("digits_vae", [])
    assert build.model(settings.model, datasets.describe(settings.data))
