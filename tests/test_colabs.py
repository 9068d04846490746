"""The notebooks run from end to end in their small variant, and store no output."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from checkout import ROOT

NOTEBOOKS = sorted((ROOT / "colabs").glob("*.ipynb"))


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_cell_installs_and_no_output_is_stored(path):
    cells = code_cells(path)
    installs = [cell for cell in cells if "%pip" in "".join(cell["source"])]
    assert installs == cells[:1]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


def execute(path, folder, **environment):
    """The notebook's standard output: all cells but the installing one, in `folder`."""
    program = "\n".join("".join(cell["source"]) for cell in code_cells(path)[1:])
    program = program.replace('WORKDIR / "latents.npz"', 'pathlib.Path("latents.npz")')
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ
        | {"VDP_SMALL": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
        | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tour", "digits_dvp"])
def test_runs_from_end_to_end(name, tmp_path):
    out = execute(ROOT / "colabs" / f"{name}.ipynb", tmp_path)
    assert name != "tour" or "NOT A BOUND" in out


@pytest.mark.slow
def test_opens_a_run(tmp_path, smoke_run):
    execute(ROOT / "colabs" / "open_run.ipynb", tmp_path, VDP_WORKDIR=str(smoke_run))
    assert {"z_mean", "z_log_var"} == set(np.load(tmp_path / "latents.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_ae", "digits_vdm", "digits_classifier", "digits_dvp"])
def test_opens_runs_of_every_kind(cli, tmp_path, name):
    config = f"{name}:smoke" if name != "digits_classifier" else name
    code, _, err = cli(
        f"--config={config}", f"--workdir={tmp_path / 'run'}", "--config.train.steps=4"
    )
    assert code == 0, err
    execute(ROOT / "colabs" / "open_run.ipynb", tmp_path, VDP_WORKDIR=str(tmp_path / "run"))
    assert (tmp_path / "latents.npz").exists() == (name in ("digits_ae", "digits_dvp"))
