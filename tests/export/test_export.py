"""An exported folder opens as the run it is of, without anything of the machine it was made on."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vdp
from vdp.errors import UserError
from vdp.export import folder
from vdp.modes import export
from vdp.record import read_run
from vdp.run import calibration


@pytest.fixture(scope="module")
def exported(smoke_run, tmp_path_factory):
    run = vdp.load(smoke_run)
    out = tmp_path_factory.mktemp("exported")
    chain = calibration.kept(run, smoke_run)
    folder.write(run, read_run(smoke_run), out, dtype="float32", chain=chain)
    return run, out


def test_an_exported_run_is_the_run(exported, cli, tmp_path):
    run, out = exported
    opened = vdp.load(out)
    assert opened.step == run.step
    jax.tree.map(np.testing.assert_array_equal, opened.params, run.params)
    jax.tree.map(np.testing.assert_array_equal, opened.stats, run.stats)
    images = opened.images("test")[:5]
    np.testing.assert_array_equal(opened.elbo(images).value, run.elbo(images).value)
    np.testing.assert_array_equal(opened.sample(3), run.sample(3))
    with pytest.raises(UserError, match=f"of step {run.step} alone"):
        vdp.load(out, step=run.step + 1)


def test_bfloat16_is_half_as_large_and_opens_as_float32(exported, smoke_run, cli, tmp_path):
    run, out = exported
    code, said, err = cli(
        "--mode=export", f"--workdir={smoke_run}", f"--out={tmp_path / 'half'}", "--dtype=bfloat16"
    )
    assert code == 0, err
    assert re.search(r"model\.safetensors +[\d.]+ KiB", said)
    assert "the checkpoint of step" in said.splitlines()[-1]
    size = lambda path: (path / "model.safetensors").stat().st_size
    assert size(tmp_path / "half") < 0.62 * size(out), "but for names, shapes and constants"
    half = vdp.load(tmp_path / "half")
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), run.params)
    jax.tree.map(np.testing.assert_array_equal, half.params, rounded)
    jax.tree.map(np.testing.assert_array_equal, half.stats, run.stats)


def test_a_run_is_exported_on_any_number_of_devices(smoke_run, tmp_path, monkeypatch):
    """Nothing of a batch is written, so that the run's own need not fall evenly on them."""
    asked = []
    monkeypatch.setattr(export.parallel, "next_multiple", lambda size, devices: size + devices)
    monkeypatch.setattr(export, "restore", lambda own, *_: asked.append(own) or vdp.load(smoke_run))
    record = read_run(smoke_run)
    export.main(record.settings, smoke_run, out=str(tmp_path / "out"))
    assert asked[0].eval.batch_size == record.settings.eval.batch_size + 1
    assert read_run(tmp_path / "out").settings.eval.batch_size == record.settings.eval.batch_size


def test_an_export_that_fails_leaves_nothing(smoke_run, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.weights, "write", full)
    run = vdp.load(smoke_run)
    with pytest.raises(OSError, match="No space"):
        folder.write(run, read_run(smoke_run), tmp_path / "out", dtype="float32")
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_the_numbers_are(exported, smoke_run):
    _, out = exported
    text = (out / "README.md").read_text()
    assert text.startswith("---\n")
    front, body = text[4:].split("\n---\n", 1)
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert json.loads(fields["library_name"]) == "vdp"
    result = json.loads((smoke_run / "eval.json").read_text())
    (entry,) = json.loads(fields["model-index"])[0]["results"]
    values = {metric["type"]: metric["value"] for metric in entry["metrics"]}
    elbo = result["estimators"]["elbo"]
    assert values["elbo"] == elbo["nats"]["mean"]
    assert f"| elbo | T=inf | {elbo['nats']['mean']:.2f} ±" in body
    assert "| lower bound |" in body
    counts = read_run(smoke_run).counts
    assert f"{counts['train']:,} train" in body
    assert 'vdp.load("PATH")' in body


def test_no_path_of_the_machine_leaves_it(exported):
    run, out = exported
    assert "places" not in json.loads((out / "config.json").read_text())
    private = run.settings.replace(
        data=dict(name="npz:/home/me/cats.npz", dir="/home/me"),
        train=dict(init_from="/home/me/runs/first"),
        eval=dict(
            fid_features="inception:/home/me/weights.npz", ood=("mnist", "npz:/home/me/other.npz")
        ),
    )
    public = folder.without_paths(private)
    assert folder.without_paths(run.settings) == run.settings.replace(data=dict(dir=None))
    assert public.data.name == "npz:cats.npz"
    assert public.data.dir is None
    assert public.train.init_from == "first"
    assert public.eval.fid_features == "inception:weights.npz"
    assert public.eval.ood == ("mnist", "npz:other.npz")


def test_no_path_is_in_the_evaluation_either(exported, copied_run):
    run, _ = exported
    stored = json.loads((copied_run / "eval.json").read_text())
    stored["ood"] = {"npz:/home/me/my cats.npz": {"auroc": 0.5}, "mnist": {"auroc": 0.9}}
    stored["fid"] = {"features": "classifier of folder:/home/me/photos, trained by vdp"}
    (copied_run / "eval.json").write_text(json.dumps(stored))
    public = folder._evaluation(run, read_run(copied_run))
    assert public["ood"] == {"npz:my cats.npz": {"auroc": 0.5}, "mnist": {"auroc": 0.9}}
    assert public["fid"] == {"features": "classifier of folder:photos, trained by vdp"}
    assert public["estimators"] == stored["estimators"]


def test_names_that_the_run_has_are_made_short_whatever_is_in_them(exported, copied_run):
    run, _ = exported
    mine = "folder:/home/Smith, J/photos"
    others = ("npz:/a/test.npz", "npz:/b/test.npz", "folder:.")
    stored = json.loads((copied_run / "eval.json").read_text())
    stored["ood"] = {name: {"auroc": 0.1 * number} for number, name in enumerate(others)}
    stored["fid"] = {"features": f"classifier of {mine}, trained by vdp"}
    (copied_run / "eval.json").write_text(json.dumps(stored))
    told = read_run(copied_run)
    told = dataclasses.replace(
        told, settings=told.settings.replace(data=dict(name=mine), eval=dict(ood=others))
    )
    public = folder._evaluation(run, told)
    here = pathlib.Path.cwd().name
    assert list(public["ood"]) == ["npz:test.npz", "npz:test.npz-2", f"folder:{here}"]
    assert public["fid"] == {"features": "classifier of folder:photos, trained by vdp"}


def test_an_evaluation_of_other_parameters_of_the_same_step_is_left_out(exported, copied_run):
    run, _ = exported
    weights = json.loads((copied_run / "eval.json").read_text())["weights"]
    stored = read_run(copied_run)
    assert folder._evaluation(run, stored, weights)["weights"] == weights
    assert folder._evaluation(run, stored, "0" * 16) is None


def test_what_cannot_be_done_with_it_is_said(exported, refused, smoke_run, tmp_path):
    _, out = exported
    smoke = "--config=digits_vae:smoke"
    refused(smoke, f"--workdir={out}", says=["another --workdir", "init_from"])
    export = ("--mode=export", f"--workdir={smoke_run}")
    refused(*export, says=["--out=DIR"])
    refused(*export, f"--out={smoke_run}", says=["no empty folder"])
    refused(*export, f"--out={tmp_path / 'x'}", "--dtype=float16", says=["bfloat16"])
    refused(smoke, "--out=x", says=["--mode=export"])
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text((out / "config.json").read_text())
    with pytest.raises(UserError, match="cannot be read"):
        vdp.load(damaged)
    (damaged / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=r"are damaged.*git lfs pull"):
        vdp.load(damaged)
