"""Damaged bytes in any file of a run's folder: a documented end, few words, and nothing lost."""

import pathlib
import random
import shutil

import pytest

pytestmark = pytest.mark.slow
SMOKE = "--config=digits_vae:smoke"
SEED = 0
KINDS = {
    "cut": lambda content, rng: content[: rng.randrange(len(content))],
    "empty": lambda content, rng: b"",
    "flipped": lambda content, rng: flipped(content, rng),
    "foreign": lambda content, rng: rng.randbytes(len(content)),
}


def flipped(content, rng):
    """The content with one bit in a hundred bytes, and at least one, turned over."""
    changed = bytearray(content)
    for _ in range(max(len(content) // 100, 1)):
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def files_of(run):
    """Every file that is not empty, under a name that does not change from run to run."""
    return sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_any_file_has_a_documented_end(cli, smoke_run, tmp_path, kind):
    rng = random.Random(f"{kind} {SEED}")
    paths = [path.relative_to(smoke_run) for path in files_of(smoke_run)]
    for name in rng.sample(paths, min(len(paths), 12)):
        copied = pathlib.Path(shutil.copytree(smoke_run, tmp_path / "run"))
        path = copied / name
        path.write_bytes(KINDS[kind](path.read_bytes(), rng))
        before = {p.relative_to(copied): p.read_bytes() for p in files_of(copied)}
        for argv in (["--mode=sample"], [SMOKE]):
            code, _, err = cli(*argv, f"--workdir={copied}")
            assert code in (0, 2, 130, 143), f"{name}: {err}"
            assert "Traceback" not in err, f"{name}: {err}"
            assert sum(line.startswith("error: ") for line in err.splitlines()) <= 1, name
        steps = [p for p in before if p.parts[0] == "checkpoints" and p != name]
        there = {p.read_bytes() for p in copied.rglob("*") if p.is_file()}
        assert all(before[p] in there for p in steps), f"{name}: a checkpoint is lost"
        shutil.rmtree(copied)
