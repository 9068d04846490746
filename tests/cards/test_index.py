"""--mode=report: an index of runs as they are, cards that are missing or old, and no jax."""

import os
import subprocess
import sys

import pytest
import run_folder
from checkout import ROOT
from run_folder import CONFIG

from vdp.cards import index


@pytest.fixture
def runs(tmp_path):
    """A folder with a finished run, one inside a sweep, and two that are not finished."""
    root = tmp_path / "runs"
    run_folder.write(root / "one")
    run_folder.write(root / "sweep" / "prior=vdm" / "seed-0")
    unfinished = run_folder.write(root / "stopped")
    (unfinished / "eval.json").unlink()
    lost = run_folder.write(root / "lost", config=None)
    (lost / "samples" / "samples.png").write_bytes(b"no picture")
    (root / "one" / "checkpoints" / "40").mkdir(parents=True)
    (root / "one" / "checkpoints" / "40" / "config.json").write_text("{}")
    return root


def test_every_run_is_listed_as_what_it_is(runs, cli):
    code, said, err = cli("--mode=report", f"--workdir={runs}")
    assert code == 0, err
    assert said.splitlines()[-2:] == [str(runs / "index.html"), str(runs / "index.md")]
    text = (runs / "index.md").read_text()
    lines = {line.split("|")[1].strip(): line for line in text.split("\n") if line[:2] == "| "}
    finished = "| 40 | -20.50 ± 0.50 (nats, elbo (T=inf)) |  | 1m05s |"
    assert f"| vae | vdm | mine {finished}" in lines["[one](one/card.md)"]
    assert finished in lines["[sweep/prior=vdm/seed-0](sweep/prior%3Dvdm/seed-0/card.md)"]
    assert "stopped (unfinished: not evaluated)" in lines
    (lost,) = (name for name in lines if name.startswith("lost"))
    assert "damaged: " in lost
    assert "it has no config.json" in lost
    assert len(lines) == 4 + 2, "and the head"
    page = (runs / "index.html").read_text()
    assert 'href="one/card.html"' in page
    assert 'href="lost' not in page
    assert page.startswith("<!doctype html>")


def test_a_run_that_went_on_is_not_finished(tmp_path):
    longer = {**CONFIG["config"], "train": {"steps": 80, "batch_size": 8}}
    run_folder.write(tmp_path / "a", config={**CONFIG, "config": longer})
    longer = {**longer, "train": {**longer["train"], "patience": 1}}
    best = run_folder.result(step=20)  # of validations at 0, 20 and 40
    run_folder.write(tmp_path / "b", config={**CONFIG, "config": longer}, evaluated=best)
    index.write(tmp_path)
    text = (tmp_path / "index.md").read_text()
    assert "a (unfinished: evaluated at step 40 of 80)" in text.replace("[", "").replace("]", "")
    assert "1 finished run, 1 unfinished or damaged" in text


def test_cards_are_made_where_they_are_missing_or_old(runs):
    cards = [runs / "one" / "card.html", runs / "sweep" / "prior=vdm" / "seed-0" / "card.html"]
    assert set(cards) <= set(index.write(runs))
    assert [path.name for path in index.write(runs)] == ["index.html", "index.md"]
    later = cards[0].stat().st_mtime_ns + 10**9
    os.utime(runs / "one" / "eval.json", ns=(later, later))
    assert cards[0] in index.write(runs)
    assert not (runs / "stopped" / "card.html").exists()


def test_a_run_that_cannot_be_written_is_listed_with_the_others(runs, cli, monkeypatch):
    def failing(workdir):
        raise OSError(30, "Read-only file system", str(workdir))

    monkeypatch.setattr(index, "card", failing)
    code, _, err = cli("--mode=report", f"--workdir={runs}")
    assert code == 0, err
    assert "-20.50 ± 0.50" in (runs / "index.md").read_text()


def test_one_run_has_its_card_and_what_is_none_is_refused(runs, cli, refused):
    code, said, _ = cli("--mode=report", f"--workdir={runs / 'stopped'}")
    assert (code, said.split()[0]) == (0, str(runs / "stopped" / "card.html"))
    assert "unfinished: not evaluated" in (runs / "stopped" / "card.html").read_text()
    refused("--mode=report", f"--workdir={runs / 'lost'}", says=["config.json"])
    refused("--mode=report", f"--workdir={runs / 'none'}", says=["there is no folder"])
    (runs / "empty").mkdir()
    refused("--mode=report", f"--workdir={runs / 'empty'}", says=["no run below"])
    refused("--mode=report", "--config=digits_vae", says=["--config"])


def test_no_jax_is_loaded(runs):
    command = f"assert main.run(['--mode=report', '--workdir={runs}']) == 0"
    code = f"import sys; from vdp import main; {command}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
