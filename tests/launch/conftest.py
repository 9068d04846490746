"""Stand-ins: commands of schedulers, and training itself."""

import os
import pathlib
import shutil
import sys

import pytest
from launching import SEARCHED

from launch import search, sweep, trials


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Puts a command of the scheduler on PATH: bash text; returns what it was called with."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(tmp_path))

    def make(name, text=""):
        log = tmp_path / f"{name}.log"
        path = tmp_path / "bin" / name
        record = f"printf '%s\\x1f' \"$@\" >> '{log}'; echo >> '{log}'"
        path.write_text(f"#!/usr/bin/env bash\n{record}\n{text}\n")
        path.chmod(0o755)
        lines = lambda: log.read_text().splitlines() if log.exists() else []
        return lambda: [line.split("\x1f")[:-1] for line in lines()]

    return make


@pytest.fixture
def fake(tmp_path):
    """The folder of a training program; files in it say how the program behaves."""
    (tmp_path / "fake").mkdir()
    program = pathlib.Path(__file__).with_name("fake_training.py")
    shutil.copy(program, tmp_path / "fake" / "main.py")
    return tmp_path / "fake"


@pytest.fixture
def swept(tmp_path, fake, capsys):
    """Runs the command line over the fake training; returns (exit code, stdout, stderr)."""

    usual = ("--config=digits_vae:smoke", "--grid=prior=normal,vdm")

    def run(*argv, base=usual):
        command = [sys.executable, str(fake / "main.py")]
        code = sweep.run([*base, f"--workdir={tmp_path / 'sweep'}", *argv], command=command)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def training(tmp_path, monkeypatch):
    """The command of a training that only writes its metrics, in no time; looked at as often."""
    monkeypatch.setattr(trials, "POLL", 0.05)
    (tmp_path / "fake").mkdir()
    shutil.copy(pathlib.Path(__file__).with_name("fake_search_training.py"), tmp_path / "fake")
    return [sys.executable, str(tmp_path / "fake" / "fake_search_training.py")]


@pytest.fixture
def searched(tmp_path, training, capsys):
    """Runs the command line over the fake training; returns (exit code, stdout, stderr)."""

    def run(*argv, base=SEARCHED):
        code = search.run([*base, f"--workdir={tmp_path / 'search'}", *argv], command=training)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
