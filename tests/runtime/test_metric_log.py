"""metrics.jsonl: what is read of damaged ones, and what a start does to them."""

import json

import pytest

from vdp.runtime.metric_log import Metrics, read_metrics, series, train_seconds

GOOD = [
    {"step": 0, "eval/elbo": -9.0},
    {"step": 5, "train/elbo": -8.0, "train/seconds": 1.5},
    {"step": 10, "train/elbo": None, "train/seconds": 2.5},
]
BAD = {
    "torn": b'{"step": 7, "trai{"step": 8, "train/elbo": 1.0}',
    "other encodings": b'{"step": 7, "caf\xe9": 1}',
    "zeros": b"\0" * 40,
    "list": b"[7, 1.0]",
    "null": b"null",
    "no step": b'{"train/elbo": 1.0}',
    "text for a step": b'{"step": "7", "train/elbo": 1.0}',
    "a flag for a step": b'{"step": true, "train/elbo": 1.0}',
    "text for a number": b'{"step": 7, "train/elbo": "-1.0"}',
    "nan": b'{"step": 7, "train/elbo": NaN}',
    "infinite": b'{"step": 7, "train/elbo": 1e999}',
    "too large": b'{"step": 7, "train/elbo": 1' + b"0" * 400 + b"}",
    "nested": b"[" * 100_000,
}


def write(path, *between, last=b""):
    lines = [json.dumps(line).encode() for line in GOOD]
    path.write_bytes(b"".join(line + b"\n" for line in [lines[0], *between, *lines[1:]]) + last)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_costs_nothing_but_itself(tmp_path, kind):
    path, said = tmp_path / "metrics.jsonl", []
    write(path, BAD[kind])
    assert read_metrics(path) == GOOD
    metrics = Metrics(tmp_path, step=10, tensorboard=False, say=said.append)
    metrics.write(15, {"train/elbo": float("nan")})
    metrics.close()
    assert read_metrics(path) == [*GOOD, {"step": 15, "train/elbo": None}]
    assert (tmp_path / "metrics.jsonl.bad").read_bytes() == BAD[kind] + b"\n"
    assert len(said) == 1
    assert "1 lines" in said[0]
    assert "metrics.jsonl.bad" in said[0]


def test_bad_lines_are_gathered_over_starts(tmp_path):
    for kind in ("zeros", "list"):
        write(tmp_path / "metrics.jsonl", BAD[kind])
        Metrics(tmp_path, step=10, tensorboard=False).close()
    kept = (tmp_path / "metrics.jsonl.bad").read_bytes()
    assert kept == BAD["zeros"] + b"\n" + BAD["list"] + b"\n"


@pytest.mark.parametrize("last", [b'{"st', b'{"step": 12, "trai', b'{"step": 12}'])
def test_a_last_line_without_its_end_is_the_work_of_a_kill(tmp_path, last):
    path, said = tmp_path / "metrics.jsonl", []
    write(path, last=last)
    assert read_metrics(path)[: len(GOOD)] == GOOD
    Metrics(tmp_path, step=10, tensorboard=False, say=said.append).close()
    assert read_metrics(path) == GOOD
    assert said == []


def test_a_file_of_something_else_is_not_lost(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\x89PNG without an end")
    Metrics(tmp_path, step=10, tensorboard=False).close()
    assert (tmp_path / "metrics.jsonl.bad").read_bytes() == b"\x89PNG without an end\n"


@pytest.mark.parametrize(("step", "left"), [(-1, 0), (0, 1), (9, 2), (10, 3)])
def test_lines_after_the_step_of_a_start_are_cut(tmp_path, step, left):
    """A run that begins keeps none: of one that was killed before its first save."""
    write(tmp_path / "metrics.jsonl")
    Metrics(tmp_path, step=step, tensorboard=False).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == GOOD[:left]


def test_seconds_and_curves_of_edited_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, b'{"step": 3, "train/seconds": null}')
    assert train_seconds(path, 10) == train_seconds(path) == 4.0
    assert train_seconds(path, 4) is None
    same_step = [{"step": 5, "train/elbo": value} for value in (-3.0, -2.0, -1.0, -1.0)]
    assert series(same_step, "train/elbo") == [(5, -3.0)]
    short_end = [{"step": step, "train/elbo": float(step)} for step in (100, 200, 300, 349)]
    assert series(short_end, "train/elbo")[-1] == (349, 349.0), "the last stretch is none too short"
