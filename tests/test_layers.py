"""The layout: who may import whom, how long a file may be, what an import may cost."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = {  # a file imports only from lower levels; inside a folder siblings may help each other
    "errors": 0, "types": 0, "variants": 0, "dists": 0, "workdir": 0, "packing": 0,
    "score": 0,
    "config": 1, "nets": 1, "diffusion": 1, "data": 1, "state": 1, "parallel": 1, "optim": 1,
    "checkpoint": 1, "report": 1, "compile_cache": 1,
    "priors": 2, "likelihoods": 2, "pseudoinputs": 2,
    "models": 3,
    "evals": 4,
    "build": 5, "step": 5, "evaluator": 5,
    "run": 6,
    "describe": 7, "estimate": 7, "hierarchy": 7, "latent_space": 7, "unfinished": 7,
    "sample": 8,
    "loop": 9,
    "fit": 10,
    "features": 11,
    "evaluate": 12,
    "train": 13,
    "main": 14,
}  # fmt: skip
SAME_LEVEL = {("dists", "types"), ("variants", "errors"), ("workdir", "errors")}


def imported(path):
    """Rooms of vdp that a file imports, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vdp"):
            inner = node.module.split(".")[1:2]
            found |= set(inner) if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "vdp" and len(parts) > 1}
    return {room for room in found if room in LEVELS}


FILES = sorted((ROOT / "vdp").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    parts = path.relative_to(ROOT / "vdp").with_suffix("").parts
    room = parts[0]
    if room == "__init__":
        return
    assert room in LEVELS, f"give {room} a level"
    for other in imported(path):
        lower = LEVELS[other] < LEVELS[room]
        assert lower or other == room or (room, other) in SAME_LEVEL, f"{room} imports {other}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.name)
def test_configs_import_nothing_but_the_grammar(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "ml_collections" or (
                node.module == "vdp" and {alias.name for alias in node.names} == {"variants"}
            )
        assert not isinstance(node, ast.Import)


def test_no_file_outgrows_its_room():
    others = [p for room in ("configs", "benchmarks", "launch") for p in (ROOT / room).glob("*.py")]
    for path in [*FILES, *others]:
        assert len(path.read_text().splitlines()) <= 300, path


def test_package_does_not_import_configs():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            modules = [getattr(node, "module", None) or "", *names]
            imports = isinstance(node, ast.Import | ast.ImportFrom)
            assert not (imports and any(m.split(".")[0] == "configs" for m in modules)), path


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("vdp, vdp.main", ("jax", "numpy", "tensorflow", "ml_collections")),
        ("vdp.train, vdp.evaluate, vdp.sample", ("tensorflow", "tensorflow_datasets", "sklearn")),
    ],
)
def test_imports_load_nothing_heavy(modules, absent):
    code = f"import {modules}, sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
