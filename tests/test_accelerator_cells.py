"""The table of all configs on chips: which cells there are, what is made again, what a row says."""

import json
import subprocess

from benchmarks import accelerators


def test_cells_are_made_once_and_an_error_is_a_row(tmp_path, monkeypatch, capsys):
    made = []

    def fail(cell):
        made.append(cell.name)
        about = {"config": cell.config, "target": cell.target, "dtype": cell.dtype}
        return {"cell": about | {"fsdp": cell.fsdp}, "error": "error: it is too large: halve it"}

    monkeypatch.setattr(accelerators, "made", fail)
    flags = [f"--out={tmp_path}", "--config=digits_vae+digits_dvp", "--target=h100+h100:8"]
    accelerators.main(flags)
    several = ["h100_float32", "h100-8_float32", "h100-8_float32_fsdp"]
    halves = [name.replace("float32", "bfloat16") for name in several]
    expected = [f"digits_vae_{n}" for n in several] + [f"digits_dvp_{n}" for n in several + halves]
    assert sorted(made) == sorted(expected)
    capsys.readouterr()
    accelerators.main(flags)
    assert len(made) == len(expected)
    out = capsys.readouterr().out
    assert out.index("## `h100`") < out.index("## `h100:8`")
    assert "| `digits_dvp` | bfloat16 | yes | it is too large |" in out
    alone, several = out.split("## `h100:8`")
    assert "| yes |" not in alone
    assert several.count("| yes |") == 3
    stored = json.loads((tmp_path / "digits_vae_h100_float32.json").read_text())
    assert stored["error"].endswith("halve it")


def test_only_answers_are_kept(tmp_path, monkeypatch, capsys):
    """What a machine was too small for, or somebody stopped, is made at the next start."""
    codes = iter([137, 2])

    def ended(command, **kwargs):
        return subprocess.CompletedProcess(command, next(codes), "", "one\nerror: too large\n")

    monkeypatch.setattr(accelerators.subprocess, "run", ended)
    flags = [f"--out={tmp_path}", "--config=digits_vae", "--target=h100"]
    for kept in (0, 1):
        accelerators.main(flags)
        assert len(list(tmp_path.glob("*.json"))) == kept
    out, err = capsys.readouterr()
    assert "ended with 137" in err
    assert "| `digits_vae` | float32 | too large |" in out


def test_a_batch_is_rounded_up_to_the_devices():
    cell = accelerators.Cell(
        config="mnist_dvp:reference", target="h100:8", dtype="bfloat16", fsdp=True
    )
    given = [flag.removeprefix("--config.") for flag in cell.command[4:]]
    assert {"train.batch_size=256", "train.fsdp=True"} <= set(given)
    assert "model.encoder.dtype=bfloat16" in given


def test_rows_of_the_page_stay_where_nothing_was_made(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(accelerators.PAGE.read_text())
    monkeypatch.setattr(accelerators, "PAGE", page)
    out = tmp_path / "cells"
    out.mkdir()
    flags = [f"--out={out}", "--config=digits_vae", "--target=h100", "--write", "--keep"]

    def refused(cell):
        return {"cell": vars(cell), "error": "error: it is too large"}

    before = page.read_text().splitlines()
    monkeypatch.setattr(accelerators, "made", refused)
    accelerators.main(flags)
    after = page.read_text().splitlines()
    [(old, new)] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert old.startswith("| `digits_vae` | float32 | 128 |")
    assert new == "| `digits_vae` | float32 | it is too large |  |  |  |  |  |  |  |  |"
