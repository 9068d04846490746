"""Every command of README and docs is one the programs understand, and runs (slow)."""

import argparse
import importlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from checkout import ROOT

from launch import jobset, search, sweep
from vdp import config, main
from vdp.flags import OF_RUNS

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
PLACEHOLDERS = {"PRIOR": "vdm", "SEED": "0", "N": "50", "DIR": "DIR"}


def commands() -> list[str]:
    """What follows `python -m` in code, with example values for words in capitals.

    Those on files that a page writes itself (mine.py, table.py) are run by test_docs.
    """
    found = {}
    for text in (page.read_text() for page in PAGES):
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
        fenced = "".join(block for language, block in blocks if language in ("", "sh"))
        spans = re.findall(r"`(python -m [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S))
        lines = [*fenced.splitlines(), *(" ".join(span.split()) for span in spans)]
        for line in lines:
            match = re.search(r"python -m ((?:vdp|launch|benchmarks)\.\w+ [-\d][^#;>]*)", line)
            text = match and match[1].replace("folder:PATH", "synthetic:8x8x1x17")
            if text and not re.search(r"NAME\b|\.\.\.|(mine|table)\.py", text):
                values = lambda m: PLACEHOLDERS.get(m[0], m[0])
                found[re.sub(r"\b[A-Z]+\b", values, text.strip())] = True
    return list(found)


class Parsed(Exception):
    """Raised where a program has read its arguments, before it does anything."""


@pytest.fixture
def stop_after_parsing(monkeypatch):
    whole = argparse.ArgumentParser.parse_known_args

    def parse(self, *args, **kwargs):
        raise Parsed(whole(self, *args, **kwargs)[1])

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse)


def understood_by_main(argv):
    if "--help" in argv:
        with pytest.raises(SystemExit) as ended:
            main.parse(argv)
        assert ended.value.code == 0
        return
    flags, overrides = main.parse(argv)
    if flags.mode in OF_RUNS:
        assert flags.runs or flags.workdir
        return
    assert flags.config or flags.workdir
    name = flags.config or pathlib.Path(flags.workdir).name
    assert config.settings(name, overrides).model["name"]


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command, request, monkeypatch):
    program, *argv = shlex.split(command)
    if program == "vdp.main":
        understood_by_main(argv)
    elif program == "launch.sweep":
        flags, overrides, _ = sweep.parse(argv)
        assert not flags.config or sweep.plan(flags, overrides)
    elif program == "launch.search":
        folder = request.getfixturevalue("tmp_path") / "search"
        flags, overrides = search.parse([*argv, f"--workdir={folder}"])
        assert search.plan(flags, overrides, []).distributions
    elif program == "launch.jobset":
        flags, passed_on = jobset.parse(argv)
        understood_by_main(passed_on)
    elif program == "launch.local":
        understood_by_main(argv[1:])
    else:
        request.getfixturevalue("stop_after_parsing")
        monkeypatch.setattr(sys, "argv", [program, *argv])
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(program).main()
        for rest in parsed.value.args[0]:
            assert rest.startswith("--config.")


def test_all_programs_are_among_them():
    programs = {command.split()[0] for command in commands()}
    assert {"vdp.main", "launch.sweep", "launch.local", "launch.jobset"} <= programs
    assert len(commands()) > 30


SHORTER = {
    "--config.train.steps": 1,
    "--config.train.epochs": 1,
    "--steps": 1,
    "--every": 1,
    "--rounds": 2,
    "--num": 4,
    "--sampler_steps": 2,
}


def short(program, argv):
    """The same as a smoke run that needs no files."""
    for word in argv:
        if word.startswith("--config="):
            name = re.match(r"--config=(?:configs/)?(\w+)", word)[1]
            yield word + ("" if "smoke" in word else ",smoke" if ":" in word else ":smoke")
            if program.startswith("benchmarks"):
                continue  # synthetic images where no folder is named
            if name.startswith(("mnist", "cifar10")):
                shape = "28x28x1" if name.startswith("mnist") else "32x32x3"
                levels = "" if config.load(name).data.binarization == "none" else "x2"
                yield f"--config.data.name=synthetic:{shape}{levels}"
                yield "--config.data.binarization=none"
        elif word.partition("=")[0] not in SHORTER and word != "--config.data.dir=DIR":
            yield word
    if program.startswith("benchmarks"):
        usage = importlib.import_module(program).__doc__  # the flags that it names
        yield from (f"{flag}={n}" for flag, n in SHORTER.items() if f"{flag}=" in usage)
        if "--held_out=" in usage:
            yield "--held_out=64"


@pytest.mark.slow
def test_commands_run_one_after_the_other(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (300, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, levels=17)
    prior = re.search(r"```python\n(# laplace\.py\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "laplace.py").write_text(prior[1])
    first = [f"vdp.main --config={n} --workdir=runs/{n}" for n in ("digits_vae", "digits_dvp")]
    again = [re.sub(" --workdir.*", "", command) for command in first]
    chosen = [c for c in commands() if c not in again and "configs/" not in c]
    chosen = [c for c in chosen if not c.startswith("launch.sweep --seeds")]  # a part of one
    # needs compilers that few machines have
    chosen = [c for c in chosen if "describe.target" not in c and "benchmarks.accel" not in c]
    chosen.sort(key=lambda command: "--mode" in command)  # of the runs made before
    for command in [*first, *chosen]:
        program, *argv = shlex.split(command)
        done = subprocess.run([sys.executable, "-m", program, *short(program, argv)], cwd=tmp_path,
                              env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                              text=True)  # fmt: skip
        assert done.returncode == 0, (command, done.stderr[-2000:])
