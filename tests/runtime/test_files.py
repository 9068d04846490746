"""The folder of a run before anything is trained: where it may lie, and what a refusal leaves."""

import os
import pathlib

import numpy as np
import pytest

from vdp.errors import UserError
from vdp.runtime import files, npz


def work_and_fail(workdir, in_use):
    with files.opened(workdir, made=("checkpoints", "config.json"), in_use=lambda: in_use):
        (workdir / "checkpoints").mkdir()
        (workdir / "checkpoints" / "part").write_text("")
        (workdir / "config.json").write_text("{}")
        raise UserError("the reason")


def refuse(workdir, *, in_use=False):
    """A command that makes files in its workdir and is then refused."""
    with pytest.raises(UserError, match=r"^the reason$"):
        work_and_fail(workdir, in_use)


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_refused_command_takes_away_what_it_has_made(tmp_path):
    refuse(tmp_path / "a" / "b" / "run")
    assert entries(tmp_path) == []


def test_a_refused_command_leaves_what_was_there(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    for name in ("empty", "notes"):
        refuse(tmp_path / name)
    assert entries(tmp_path) == ["empty", "notes", "notes/mine.txt"]


def test_what_is_in_use_stays_but_for_the_lock(tmp_path):
    refuse(tmp_path, in_use=True)
    assert entries(tmp_path) == ["checkpoints", "checkpoints/part", "config.json"]


def test_links_and_the_current_folder_are_left_where_they_are(tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    refuse(tmp_path / "link")
    monkeypatch.chdir(tmp_path / "target")
    refuse(pathlib.Path("."))
    assert entries(tmp_path) == ["link", "target"]


def test_what_has_failed_is_said_also_where_nothing_can_be_removed(tmp_path, monkeypatch):
    def busy(self):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(pathlib.Path, "rmdir", busy)
    monkeypatch.setattr(files.shutil, "rmtree", busy)
    refuse(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "no folder"), ("link", "a link to nothing"), ("file/run", "Not a directory")],
)
def test_a_workdir_that_cannot_be_one(tmp_path, name, reason):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match=f"cannot be written .*{reason}.*another workdir"):
        files.prepare(tmp_path / name)
    assert entries(tmp_path) == ["file", "link"]


def test_folders_made_for_a_name_that_is_too_long_are_removed(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        files.prepare(tmp_path / "a" / "b" / ("x" * 300))
    assert entries(tmp_path) == []


def test_a_glance_at_a_lock_takes_it_from_nobody(tmp_path, monkeypatch):
    """`--follow` looks whether somebody trains in the moment in which a training begins."""
    held, flock = [True], files.fcntl.flock

    def glanced(handle, how):
        if held and how & files.fcntl.LOCK_EX:
            held.clear()
            raise BlockingIOError
        flock(handle, how)

    monkeypatch.setattr(files.fcntl, "flock", glanced)
    with files.lock(tmp_path):
        assert not held
        assert files.in_use(tmp_path)


def test_checkpoints_need_a_name_in_utf_8(tmp_path):
    files.check_name(tmp_path / "Läufe")
    for inside in ("", "checkpoints"):
        with pytest.raises(UserError, match=r"no UTF-8.*name another workdir"):
            files.check_name(tmp_path / os.fsdecode(b"L\xe4ufe") / inside)


def write_two_and_fail(folder):
    with files.filling(folder) as inner:
        (inner / "0.png").write_text("")
        raise OSError(28, "No space left on device")


def test_a_folder_is_filled_with_all_or_nothing(tmp_path):
    with pytest.raises(OSError, match="No space"):
        write_two_and_fail(tmp_path / "a" / "out")
    assert entries(tmp_path) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="No space"):
        write_two_and_fail(tmp_path / "empty")
    assert entries(tmp_path) == ["empty"]
    (tmp_path / "empty" / ".partial-of-one-that-was-killed").mkdir()
    files.check_empty(tmp_path / "empty", otherwise="")
    with files.filling(tmp_path / "empty") as inner:
        (inner / "0.png").write_text("")
        (inner / "more").mkdir()
    assert entries(tmp_path / "empty") == ["0.png", "more"]
    with pytest.raises(UserError, match="is no empty folder: name another one"):
        files.check_empty(tmp_path / "empty", otherwise=" one")


@pytest.mark.parametrize("name", ["file", "link", "file/out"])
def test_places_that_are_none_are_refused_before_and_leave_nothing(tmp_path, name):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"no empty folder|cannot be written"):
        files.check_empty(tmp_path / name, otherwise="")
    files.check_empty(tmp_path / "a" / "b", otherwise="")
    files.check_file(tmp_path / "a" / "b.npz")
    assert entries(tmp_path) == ["file", "link"]


def test_a_folder_is_not_made_of_the_name_of_a_file(tmp_path):
    for name in ("codes.csv", "codes.NPZ", "samples.png"):
        with pytest.raises(UserError, match=r"looks like a file, .* ends in \.npz or \.parquet"):
            files.check_ending(tmp_path / name, [".npz", ".parquet"])
    (tmp_path / "there.png").mkdir()
    for name in ("there.png", "v0.1", "plain", ".hidden"):
        files.check_ending(tmp_path / name, [".npz"])


def test_home_folders_are_found_as_by_a_shell(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.located("~/runs/a") == tmp_path / "runs" / "a"
    assert files.located("runs/~/a/") == pathlib.Path("runs/~/a")
    with pytest.raises(UserError, match=r"\./~nobody-of-that-name/a"):
        files.located("~nobody-of-that-name/a")


def test_nothing_that_was_set_aside_is_overwritten(tmp_path):
    names = []
    for text in ("first", "second", "third"):
        (tmp_path / "eval.json").write_text(text)
        names.append(files.set_aside(tmp_path / "eval.json").name)
    assert names == ["eval.json.bad", "eval.json.bad-2", "eval.json.bad-3"]
    assert (tmp_path / "eval.json.bad").read_text() == "first"
    assert not os.path.exists(tmp_path / "eval.json")


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a": ', b"\0" * 9])
def test_damaged_json_is_one_sentence(tmp_path, raw):
    (tmp_path / "config.json").write_bytes(raw)
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path / "config.json", "config.json")


def test_arrays_are_whole_or_of_no_use(tmp_path):
    path = tmp_path / "a.npz"
    assert npz.read(path) == {}
    npz.write(path, {"a": np.arange(3), "b": 2.5})
    stored = npz.read(path)
    assert stored["b"] == 2.5
    np.testing.assert_array_equal(stored["a"], np.arange(3))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[130] ^= 0xFF  # inside the first array
    for damaged in (b"", whole[:20], whole[:-30], bytes(flipped), b"text"):
        path.write_bytes(damaged)
        assert npz.read(path) is None, damaged[:20]
    np.save(path.with_suffix(".npy"), np.arange(3))
    path.with_suffix(".npy").rename(path)
    assert npz.read(path) is None, "one array without a name"
