"""The layout: who may import whom, how long a file may be, what an import may cost."""

import ast
import re
import subprocess
import sys

import pytest
from checkout import ROOT

LEVELS = {  # a file imports only from lower levels; inside a folder siblings may help each other
    "errors": 0, "types": 0,
    "components": 1, "dists": 1, "draws": 1, "levels": 1, "noise": 1, "runtime": 1, "settings": 1,
    "record": 2, "variants": 2, "nets": 2, "diffusion": 2, "data": 2,
    "config": 3, "priors": 3, "likelihoods": 3, "pseudoinputs": 3,
    "models": 4, "checks": 4, "config_help": 4,
    "build": 5, "metrics": 5,
    "training": 6, "codec": 6,
    "accelerators": 7, "run": 7,
    "evaluation": 8,
    "pictures": 9, "cards": 9,
    "export": 10, "comparison": 10,
    "modes": 11, "flags": 11,
    "main": 12,
    "__main__": 13,
}  # fmt: skip
UNLISTED = {"__init__"}  # the version, and the lazy `load`


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
    if room in UNLISTED:
        return
    assert room in LEVELS, f"give {room} a level"
    for other in imported(path):
        assert LEVELS[other] < LEVELS[room] or other == room, f"{room} imports {other}"


def test_the_floors_that_people_read_are_those():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.MULTILINE)
    found = {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    assert found == {room: floor for room, floor in LEVELS.items() if room != "__main__"}


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.name)
def test_configs_import_nothing_but_the_grammar(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "ml_collections" or (
                node.module == "vdp" and {alias.name for alias in node.names} == {"variants"}
            )
        assert not isinstance(node, ast.Import)


def test_what_one_folder_keeps_for_itself_no_other_imports():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vdp."):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                hidden = [name for name in names if name.startswith("_") and name != "__version__"]
                own = ROOT.joinpath(*node.module.split(".")) in (path.parent, *path.parents)
                assert own or not hidden, f"{path} imports {hidden}"


def test_no_file_outgrows_its_room():
    others = [p for room in ("configs", "benchmarks", "launch") for p in (ROOT / room).glob("*.py")]
    for path in [*FILES, *others]:
        assert len(path.read_text().splitlines()) <= 300, path


def test_tests_mirror_the_rooms():
    """tests/ROOM for each folder of vdp; beside them what concerns the whole, or is shared."""
    rooms = {path.name for path in (ROOT / "vdp").iterdir() if path.is_dir()} | {"launch"}
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")} - {ROOT / "tests"}
    alone = {"types", "__pycache__"}  # protocols and aliases, which everything else tests
    assert {folder.name for folder in folders} - {"__pycache__"} == rooms - alone


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
        ("vdp.modes.report, vdp.modes.compare, launch.table", ("jax", "tensorflow", "sklearn")),
        (
            "vdp.modes.train, vdp.evaluation.evaluate, vdp.pictures.sample",
            ("tensorflow", "tensorflow_datasets", "sklearn", "scipy.stats"),
        ),
    ],
)
def test_imports_load_nothing_heavy(modules, absent):
    code = f"import {modules}, sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
