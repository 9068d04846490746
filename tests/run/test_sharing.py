"""A run that is moved away from the module of its prior, and from its data."""

import importlib
import json
import shutil
import sys

import numpy as np
import pytest

import vdp
from vdp import config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.export import folder as shared
from vdp.record import read_run
from vdp.runtime import sources
from vdp.runtime.progress import Progress
from vdp.training.fit import fit

PRIOR = """
import jax
import jax.numpy as jnp
from vdp.priors import DensityPrior
from .helper import density

class Mine(DensityPrior):
    def __init__(self, start=1.0):
        self.start = start

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        return {"log_scale": jnp.log(jnp.full(z_shape, self.start))}, {}

    def log_prob(self, params, stats, z, encode=None):
        return density(z, params["log_scale"][None])

    def sample(self, params, stats, rng, num, *, z_shape, encode=None):
        return jnp.exp(params["log_scale"][None]) * jax.random.laplace(rng, (num, *z_shape))

make = Mine
"""
HELPER = """
import jax.numpy as jnp
from vdp.dists import sum_nonbatch

def density(z, log_scale):
    return sum_nonbatch(-jnp.abs(z) * jnp.exp(-log_scale) - jnp.log(2.0) - log_scale)
"""
PACKAGE = "laplaces"


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """(a run moved away from its prior and its images, the images, where they are)."""
    home = tmp_path / "home"
    package = home / PACKAGE
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "laplace": PRIOR, "helper": HELPER, "other": ""}.items():
        (package / f"{name}.py").write_text(text)
    images = np.random.default_rng(0).integers(0, 17, (300, 8, 8, 1), dtype=np.uint8)
    np.savez(home / "mine.npz", images=images, labels=np.arange(300) % 3, levels=17)
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    fields = {
        "data.name": "npz:mine.npz", "data.num_validation": "30", "train.steps": "2",
        "eval.every": "2", "log.tensorboard": "False",
    }  # fmt: skip
    name = f"digits_vae:prior={PACKAGE}.laplace.make,smoke"
    settings = config.settings(name, list(fields.items()))
    (home / "run").mkdir()
    dataset = datasets.load(settings.data)
    fit(settings, home / "run", dataset, Progress("training", 2, enabled=False))
    run = shutil.move(home / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(home)])
    forget()
    yield run, images, home / "mine.npz"
    forget()


def test_a_run_opens_without_its_module_and_its_data(moved, capsys, cli):
    folder, images, archive = moved
    record = read_run(folder)
    assert record.counts == {"train": 240, "validation": 30, "test": 30}
    assert record.settings.data.name == f"npz:{archive}", "the path was relative, and led there"
    kept = sorted(p.name for p in (folder / sources.FOLDER / PACKAGE).glob("*.py"))
    assert kept == ["__init__.py", "helper.py", "laplace.py"], "what it imports, and no more"
    before = list(sys.path)
    run = vdp.load(folder)
    assert f"{PACKAGE}.laplace: imported from the copies in" in capsys.readouterr().err
    assert sys.path == before
    elbo = run.elbo(images[:3]).value
    assert np.isfinite(elbo).all()
    test_images = run.images("test")
    assert test_images.shape == (30, 8, 8, 1)
    assert set(run.labels("test")) == {0, 1, 2}
    shared.write(run, record, folder.parent / "shared", dtype="float32")
    card = (folder.parent / "shared" / "README.md").read_text()
    assert "read them first" in card
    assert "was not evaluated" in card
    assert (folder.parent / "shared" / "source" / PACKAGE / "helper.py").is_file()
    assert str(folder.parent) not in (folder.parent / "shared" / "config.json").read_text()

    elsewhere = archive.parent.parent / "elsewhere.npz"
    shutil.move(archive, elsewhere)
    with pytest.raises(UserError, match=r"mine\.npz.*vdp\.load\(\.\.\., data=PATH\) in Python"):
        vdp.load(folder).images()
    code, out, err = cli("--mode=describe", f"--workdir={folder}")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["data"]["counts"] == record.counts
    again = vdp.load(folder, data=elsewhere)
    np.testing.assert_array_equal(again.images(), test_images)
    assert again.trained.data == again.settings.data, "the same images, by their hashes"
    np.testing.assert_array_equal(again.elbo(images[:3]).value, elbo)
    fields = [f"--config.data.name=npz:{elsewhere}", "--config.eval.max_examples=7"]
    code, out, err = cli("--mode=encode", f"--workdir={folder}", fields[0])
    assert (code, (folder / "codes-test.npz").is_file()) == (0, True), err
    code, out, err = cli("--mode=eval", f"--workdir={folder}", *fields)
    assert code == 0, err
    assert "on other data" not in out
    np.savez(elsewhere, images=images[::-1], levels=17)
    forget()
    other = vdp.load(folder, data=elsewhere)
    assert other.trained.data.name != other.settings.data.name
    assert other.images().shape == (30, 8, 8, 1)

    np.savez(elsewhere, images=images[:, :4], levels=17)
    with pytest.raises(UserError, match=r"data=dict\(name=\.\.\., resize='8x8'\)"):
        vdp.load(folder, data=elsewhere)
    resized = vdp.load(folder, data={"name": elsewhere, "resize": "8x8"})
    assert resized.images().shape == (30, 8, 8, 1)
    with pytest.raises(UserError, match=r"data field 'resiz' \(did you mean resize\?\)"):
        vdp.load(folder, data={"name": elsewhere, "resiz": "8x8"})

    copy = folder / sources.FOLDER / PACKAGE / "laplace.py"
    copy.write_text(PRIOR + "# of another run\n")
    shutil.copytree(folder, folder.parent / "second")
    module = f"{PACKAGE}.laplace"
    assert sys.modules[module].__file__ == str(copy)
    vdp.load(folder.parent / "second")
    assert "second" in sys.modules[module].__file__, "each run has its own version of a module"

    forget()
    shutil.rmtree(folder / sources.FOLDER)
    with pytest.raises(UserError, match=rf"{PACKAGE}\.laplace.*has no copy.*PYTHONPATH"):
        vdp.load(folder)
    code, _, err = cli("--mode=sample", f"--workdir={folder}")
    assert code == 2
    assert "has no copy" in err


def test_numbers_of_an_edited_module_say_so(moved, cli, monkeypatch):
    folder, _, archive = moved
    monkeypatch.chdir(archive.parent)
    argv = ("--mode=eval", f"--workdir={folder}")
    code, out, err = cli(*argv)
    assert (code, "laplace.py" in out) == (0, False), err
    assert json.loads((folder / "eval.json").read_text())["edited_sources"] is None
    forget()
    (archive.parent / PACKAGE / "laplace.py").write_text(PRIOR + "# edited\n")
    monkeypatch.syspath_prepend(str(archive.parent))
    code, out, err = cli(*argv)
    said = f"{PACKAGE}/laplace.py: not as the run was trained with, see source/"
    assert (code, out.splitlines()[-1]) == (0, f"warning: {said}"), err
    assert json.loads((folder / "eval.json").read_text())["edited_sources"] == [
        f"{PACKAGE}/laplace.py"
    ]
    assert f"- {said}" in (folder / "card.md").read_text()


def test_a_module_that_has_changed_is_used_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_changed.py").write_text("make = dict\n")
    spec = {"name": "vae", "prior": {"name": "mine_changed.make", "net": {"name": "json.loads"}}}
    sources.keep(tmp_path / "run", spec)
    assert [p.name for p in (tmp_path / "run" / "source").iterdir()] == ["mine_changed.py"]
    with sources.available(tmp_path / "run", spec):
        assert capsys.readouterr().err == ""
    (tmp_path / "mine_changed.py").write_text("make = list\n")
    with sources.available(tmp_path / "run", spec):
        assert "this run was trained with another one" in capsys.readouterr().err


def test_a_module_that_was_installed_since_then_is_compared_too(tmp_path, monkeypatch, capsys):
    """Another version of it would be used without a word, and rows of the two be joined."""
    own, installed = tmp_path / "own", tmp_path / "lib" / "site-packages"
    for folder, text in ((own, "make = dict\n"), (installed, "make = list\n")):
        folder.mkdir(parents=True)
        (folder / "mine_moved.py").write_text(text)
    spec, run = {"name": "vae", "prior": {"name": "mine_moved.make"}}, tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(own))
        sources.keep(run, spec)
        before = sources.in_use(spec)
    monkeypatch.syspath_prepend(str(installed))
    importlib.invalidate_caches()
    assert sources.changed_names(run) == ["mine_moved.py"]
    assert sources.in_use(spec) not in ("", before)
    with sources.available(run, spec):
        assert "this run was trained with another one" in capsys.readouterr().err


def test_what_a_changed_module_imports_counts_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_first.py").write_text("from mine_second import make\n")
    (tmp_path / "mine_second.py").write_text("make = dict\n")
    spec, run = {"name": "vae", "prior": {"name": "mine_first.make"}}, tmp_path / "run"
    assert sources.fingerprint(run) == ""
    sources.keep(run, spec)
    before = sources.fingerprint(run)
    assert sources.changed(run) == {}
    (tmp_path / "mine_second.py").write_text("make = list\n")
    assert sources.changed(run) == {tmp_path / "mine_second.py": run / "source" / "mine_second.py"}
    assert sources.fingerprint(run) == before
    sources.keep(run, spec)
    assert sources.fingerprint(run) != before


def test_a_run_does_not_go_on_with_other_code(moved, monkeypatch):
    """Neither trained further nor called finished: its numbers are of the code that it has kept."""
    folder, _, archive = moved
    monkeypatch.chdir(archive.parent)
    monkeypatch.syspath_prepend(str(archive.parent))
    helper = archive.parent / PACKAGE / "helper.py"
    helper.write_text(HELPER + "SCALE = 2\n")
    settings = read_run(folder).settings.replace(train=dict(steps=4))
    dataset = datasets.load(settings.data)
    arguments = (settings, folder, dataset, Progress("training", 4, enabled=False))
    with pytest.raises(UserError, match=r"helper\.py has changed since the run in .* began"):
        fit(*arguments)
    copy = folder / sources.FOLDER / PACKAGE / "helper.py"
    assert copy.read_text() == HELPER
    copy.unlink()
    fit(*arguments)
    assert copy.read_text() == helper.read_text()


def test_absolute_places_stand_beside_what_was_given(smoke_run):
    stored = json.loads((smoke_run / "config.json").read_text())
    assert stored["config"]["data"]["dir"] is None
    assert stored["places"] == {}, "digits lie nowhere"
    assert sum(stored["counts"].values()) == sum(stored["data"]["counts"].values())
