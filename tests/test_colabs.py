"""The notebooks run from end to end in their small variant, and store no output."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "colabs").glob("*.ipynb"))


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_cell_installs_and_no_output_is_stored(path):
    cells = code_cells(path)
    installs = [cell for cell in cells if "%pip" in "".join(cell["source"])]
    assert installs == cells[:1]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem == "open_run" else pytest.mark.slow)
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_runs_from_end_to_end(path, tmp_path, smoke_run):
    program = "\n".join("".join(cell["source"]) for cell in code_cells(path)[1:])
    environment = os.environ | {"VDP_SMALL": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    if path.stem == "open_run":
        environment["VDP_WORKDIR"] = str(smoke_run)
        program = program.replace('WORKDIR / "latents.npz"', 'pathlib.Path("latents.npz")')
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if path.stem == "tour":
        assert "NOT A BOUND" in done.stdout
    if path.stem == "open_run":
        assert (tmp_path / "latents.npz").exists()
