"""What a command does to a run's folder before it trains: nothing, where it is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import vdp
from vdp import config
from vdp.data import datasets, identity
from vdp.errors import UserError
from vdp.modes import train
from vdp.record import Extension, read_run, write_run
from vdp.runtime import files
from vdp.settings import Settings
from vdp.training import fit, optim
from vdp.training.checkpoint import Checkpoints

SMOKE = "--config=digits_vae:smoke"
ABSENT = "--config.data.name=npz:/nowhere/images.npz"


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_refused_start_leaves_no_trace(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for workdir in ("runs/a/b/", "~/runs/a", "run[1]"):
        refused(SMOKE, ABSENT, f"--workdir={workdir}", says=["/nowhere/images.npz"])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine")
    for workdir in ("mine", "link", "."):
        refused(SMOKE, ABSENT, f"--workdir={workdir}", says=["/nowhere/images.npz"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine"]


def test_a_save_that_fails_at_the_start_leaves_no_trace(refused, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise UserError("the disk is full")

    monkeypatch.setattr(Checkpoints, "save", full)
    refused(SMOKE, f"--workdir={tmp_path / 'a' / 'run'}", says=["the disk is full"])
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_of_an_unknown_run_are_not_gone_on_with(cli, smoke_run, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(smoke_run, copied)
    (copied / "config.json").unlink()
    before = contents(copied)
    code, _, err = cli(SMOKE, "--config.seed=5", f"--workdir={copied}")
    assert code == 2, err
    assert "has checkpoints and no config.json" in err
    assert contents(copied) == before


def test_what_others_have_made_stays_and_so_do_results_that_were_moved_aside(
    refused, tmp_path, monkeypatch
):
    (tmp_path / "eval.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"step": 7, "train/loss": 1.0}\n')

    def full(*args, **kwargs):
        (tmp_path / "thesis.tex").write_text("mine")
        raise UserError("the disk is full")

    monkeypatch.setattr(Checkpoints, "save", full)
    refused(SMOKE, f"--workdir={tmp_path}", says=["the disk is full"])
    left = {path.name: text for path, text in contents(tmp_path).items()}
    assert {"eval.json.bad", "metrics.jsonl.bad", "thesis.tex"} <= set(left)
    assert b'"step": 7' in left["metrics.jsonl.bad"]


@pytest.mark.parametrize("name", ["checkpoints", "plots", "samples", "tensorboard", "unfinished"])
def test_files_in_place_of_folders_are_named_before_anything_is_trained(refused, tmp_path, name):
    (tmp_path / name).write_text("mine")
    refused(SMOKE, f"--workdir={tmp_path}", says=[str(tmp_path / name), "no folder"])
    assert contents(tmp_path) == {tmp_path / name: b"mine"}


def test_a_foreign_config_is_not_overwritten(refused, tmp_path):
    (tmp_path / "config.json").write_text('{"mine": 1}')
    refused(SMOKE, f"--workdir={tmp_path}", says=["config.json", "--workdir"])
    assert contents(tmp_path) == {tmp_path / "config.json": b'{"mine": 1}'}


def edit(workdir, **parts):
    stored = json.loads((workdir / "config.json").read_text())
    stored.update(parts)
    (workdir / "config.json").write_text(json.dumps(stored))


def test_data_that_has_changed_is_refused_and_nothing_is_written(refused, copied_run):
    hashes = read_run(copied_run).hashes
    edit(copied_run, hashes={**hashes, "test": "0" * 16})
    before = contents(copied_run)
    says = ["test images", "digits", "--config.data.name", "--workdir"]
    refused(SMOKE, f"--workdir={copied_run}", "--config.train.steps=40", says=says)
    refused("--mode=eval", f"--workdir={copied_run}", says=says)
    with pytest.raises(UserError, match="test images"):
        vdp.load(copied_run).images("validation")
    assert contents(copied_run) == before
    edit(copied_run, hashes=None)
    assert len(vdp.load(copied_run).images("validation")), "a run of an older version"


WRONG = {
    "a list": [],
    "nothing": None,
    "text": "x",
    "no config": {"data": None},
    "no fields": {"config": []},
    "no model": {"config": {}},
    "a model without a name": {"config": {"model": {}}},
    "another field": {"config": {"model": {"name": "vae"}, "optimizer": {}}},
    "another type": {"config": {"model": {"name": "vae"}, "train": {"steps": "many"}}},
}
WRONG |= {
    f"{part} is {value!r}": {"config": {"model": {"name": "vae"}}, part: value}
    for part, values in {
        "data": ([], "x", {}, {"shape": [8, 8]}, {"name": "a", "shape": [8, "8", 1]}),
        "parameters": (["x"], {"total": "many"}),
        "hashes": ([1],),
        "extensions": ([{}], [1], 3),
    }.items()
    for value in values
}


@pytest.mark.parametrize("kind", WRONG)
def test_another_config_json_is_one_sentence(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps(WRONG[kind]))
    with pytest.raises(UserError, match=r"is not the config\.json of a run .*workdir") as error:
        read_run(tmp_path)
    assert "\n" not in str(error.value)


def test_a_run_on_images_of_ones_own_goes_on_where_they_have_been_moved_to(copied_run):
    stored = json.loads((copied_run / "config.json").read_text())
    kept = stored["config"]
    edit(copied_run, config=kept | {"data": kept["data"] | {"name": "npz:/old/x.npz"}})
    settings = read_run(copied_run).settings.replace(data=dict(name="npz:/new/x.npz"))
    assert fit._earlier(settings, copied_run, stored["hashes"])
    others = dict.fromkeys(stored["hashes"], "0")
    for hashes, name in ((others, "npz:/new/x.npz"), (stored["hashes"], "digits")):
        with pytest.raises(UserError, match=r"data\.name \(was 'npz:/old/x\.npz', now"):
            fit._earlier(settings.replace(data=dict(name=name)), copied_run, hashes)


def test_of_images_that_were_added_it_is_said_and_not_of_what_a_config_chooses_for_them(tmp_path):
    name, run = f"npz:{tmp_path / 'mine.npz'}", tmp_path / "run"

    def of(images, *overrides):
        pixels = np.random.default_rng(0).integers(0, 256, (images, 8, 8, 1), dtype=np.uint8)
        np.savez(tmp_path / "mine.npz", train_images=pixels, test_images=pixels[:10])
        settings = config.settings("own_vae", [("data.name", name), *overrides])
        dataset = datasets.load(settings.data)
        return settings, identity.hashes(dataset), dataclasses.asdict(dataset.facts.info)

    settings, hashes, info = of(100)
    write_run(run, settings, {"total": 1}, info, hashes=hashes)
    (run / "checkpoints" / "10").mkdir(parents=True)
    assert fit._earlier(settings, run, hashes)
    more, others, _ = of(120)
    assert more.data.num_validation != settings.data.num_validation
    with pytest.raises(UserError, match=r"train .*images of npz:.* are not those that this run"):
        fit._earlier(more, run, others)
    asked, others, _ = of(100, ("data.num_validation", "30"))
    with pytest.raises(UserError, match=r"data\.num_validation \(was 10, now 30\)"):
        fit._earlier(asked, run, others)


def test_what_later_versions_add_is_passed_over(copied_run):
    stored = json.loads((copied_run / "config.json").read_text())
    edit(copied_run, data=stored["data"] | {"new": 1}, another=[])
    assert vdp.load(copied_run).step


def test_what_waits_for_the_end_of_a_dispatch_is_said():
    settings = Settings().replace(train=dict(steps=59), eval=dict(every=10))
    assert fit.uneven(settings, 1) == fit.uneven(settings, 5) == []
    (line,) = fit.uneven(settings, 20)
    assert line.startswith("eval.every=10: validates at multiples of 20 steps")
    both = settings.replace(eval=dict(every=30), checkpoint=dict(every=8))
    assert ["steps_per_dispatch=10 " in fit.uneven(both, 20)[0],
            "saves at multiples of 20" in fit.uneven(both, 20)[1]] == [True, True]  # fmt: skip
    assert fit.uneven(settings.replace(eval=dict(every=100)), 20) == [], "the last step alone"
    traced = settings.replace(log=dict(profile_steps=5), eval=dict(every=100))
    assert fit.uneven(traced, 20) == []
    assert fit.uneven(traced, 59)[0].startswith("log.profile_steps=5: the first dispatch compiles")


def test_more_steps_are_recorded_with_what_they_do_to_the_learning_rate(smoke_run, tmp_path):
    record, said = read_run(smoke_run), []
    settings = record.settings.replace(train=dict(steps=40))
    extensions = fit.extended(settings, record, 20, said.append)
    assert extensions == [Extension(20, 20)]
    rates = [float(optim.learning_rate(settings.optim, total)(20)) for total in (20, 40)]
    assert rates[0] < rates[1], "it had come to its end"
    for text in ("train.steps was 20 and is 40", f"{rates[0]:g}", f"{rates[1]:g}"):
        assert text in said[0]
    write_run(tmp_path, settings, {}, record.data, hashes={}, extensions=extensions)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["extensions"] == [{"step": 20, "train.steps": 20}]
    again = read_run(tmp_path)
    assert fit.extended(settings, again, 40, said.append) == extensions
    assert fit.extended(settings, again, 10, said.append) == [Extension(10, 20)]
    assert len(said) == 1


def test_a_validation_is_logged_when_its_checkpoint_is_there(tmp_path, monkeypatch):
    """Else a kill between the two would leave the line, and the next start write it again."""

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", killed)
    monkeypatch.setattr(files, "_remove", lambda paths: None)  # as nobody does after a kill
    with pytest.raises(KeyboardInterrupt):
        train.main(config.settings("digits_vae:smoke"), tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
