"""Checkpoints: what is kept, what is trusted."""

import dataclasses
import hashlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dear import slow_but

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.runtime import parallel
from vdp.training import state
from vdp.training.checkpoint import Checkpoints, Damaged, saved_steps
from vdp.training.fingerprint import fingerprint
from vdp.training.state import State
from vdp.types import ELBO


def make_state(step):
    leaf = jnp.full((5, 3), float(step))
    return State(
        step=jnp.int32(step),
        params={"encoder": {"kernel": leaf}},
        stats={"prior": {}},
        opt_state=(leaf, {"count": jnp.int32(step)}),
        ema={"encoder": {"kernel": leaf + 1}},
        ema_stats={"prior": {}},
        bad_steps=jnp.int32(0),
    )


LAYOUTS = {  # of full-size runs: what 0.1.0 wrote, 0.1.1 opens
    "digits_vae": "e81018934d14",
    "digits_vae:prior=flow": "eca33b9a49c4",
    "digits_dcgan:prior=vamp": "8fec6e1d70b7",
    "digits_dvp": "2ff8eae00b1f",
    "mnist_dvp:reference": "e7665291a4fb",
    "digits_vdm": "a5502f3b4aef",
    "digits_ae": "37ee0565d0b6",
}


@pytest.mark.parametrize("name", slow_but(LAYOUTS, "digits_vae", "mnist_dvp:reference"))
def test_the_layout_of_checkpoints_changes_only_on_purpose(name):
    """Runs of earlier versions are opened and continued as long as this holds.

    Where a layout has to change: say in the changelog which runs are lost, and write it here.
    """
    settings = config.settings(name)
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    _, shapes = state.template(settings, model, facts.shape, parallel.make_mesh())
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    lines = [f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}" for path, leaf in leaves]
    parts = f"{len(shapes.opt_state)} parts of the optimiser"  # those without numbers count too
    layout = hashlib.sha256("\n".join([parts, *lines]).encode()).hexdigest()[:12]
    assert layout == LAYOUTS[name]


def template():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), make_state(0)
    )


def test_best_is_kept_apart_from_the_latest(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, metric in [
        (5, None),
        (10, -9.0),
        (15, None),
        (20, -3.0),
        (30, -5.0),
        (40, -7.0),
        (50, float("nan")),
    ]:
        checkpoints.save(make_state(step), metric=metric)
    checkpoints.save(make_state(60), metric=None)  # as after SIGTERM, not validated
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path, read_only=True)
    assert checkpoints.steps == [20, 50, 60], "those without a metric count among the latest only"
    assert checkpoints.resolve("best") == 20
    assert checkpoints.resolve("latest") == 60
    assert checkpoints.resolve("50") == 50
    restored = checkpoints.restore(20, template())
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(make_state(20)), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="best, latest, 20, 50, 60"):
        checkpoints.resolve(30)


def test_where_no_score_chooses_the_newest_is_the_best(tmp_path):
    """Of a student's run: its bound falls from the start on."""
    shown = dataclasses.replace(ELBO, chooses=False)
    checkpoints = Checkpoints(tmp_path, score=shown)
    for step, metric in [(0, -3.0), (10, -5.0), (20, -7.0)]:
        checkpoints.save(make_state(step), metric=metric)
    checkpoints.close()
    for read, best in ((ELBO, 0), (shown, 20)):
        checkpoints = Checkpoints(tmp_path, score=read, read_only=True)
        assert checkpoints.resolve("best") == best
        checkpoints.close()


def test_nothing_there(tmp_path):
    assert Checkpoints(tmp_path).restore_latest(template()) is None
    with pytest.raises(UserError, match="train first"):
        Checkpoints(tmp_path).resolve("best")


def test_another_shape_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make_state(1), metric=0.0)
    checkpoints.wait()
    other = template().replace(params={"encoder": {"kernel": jax.ShapeDtypeStruct((4,), float)}})
    with pytest.raises(Damaged):
        checkpoints.restore(1, other)


def test_fingerprints_see_values_positions_and_types():
    a = {"x": jnp.array([1.0, 2.0]), "y": jnp.array([True, False]), "z": jnp.bfloat16(3)}
    base = fingerprint(a)
    assert fingerprint(a | {"x": jnp.array([2.0, 1.0])}) != base
    assert fingerprint(a | {"x": jnp.array([1.0, 2.0000002])}) != base
    assert fingerprint(a | {"y": jnp.array([False, True])}) != base
    assert fingerprint(a | {"z": jnp.bfloat16(3.02)}) != base
    assert fingerprint(dict(a)) == base


@pytest.mark.parametrize("name", ["run[1]", "a*b", "?", "[!x]-(0.5, 1)", "space ü ~"])
def test_folders_of_any_name_can_be_opened_again(tmp_path, name):
    checkpoints = Checkpoints(tmp_path / name)
    checkpoints.save(make_state(5), metric=-1.0)
    checkpoints.close()
    restored = Checkpoints(tmp_path / name, read_only=True).restore(5, template())
    assert int(restored.opt_state[1]["count"]) == 5


@pytest.fixture
def three(tmp_path):
    """A folder with checkpoints 10, 20 (the best) and 30, and what opening them says."""
    checkpoints = Checkpoints(tmp_path)
    for step, metric in ((10, -9.0), (20, -3.0), (30, -5.0)):
        checkpoints.save(make_state(step), metric=metric)
    checkpoints.close()
    return tmp_path, []


@pytest.mark.parametrize(
    "content",
    [None, b"", b'{"el', b"[1]", b"null", b'"x"', b'{"a": 1}', b'{"elbo": NaN}', b"\xff\xfe"],
)
def test_a_score_that_is_lost_is_said_and_its_checkpoint_kept(three, content):
    workdir, said = three
    path = workdir / "checkpoints" / "20" / "metrics" / "metrics"
    path.unlink() if content is None else path.write_bytes(content)
    assert Checkpoints(workdir, read_only=True, warn=said.append).resolve("best") == 30
    assert len(said) == 1
    assert "the score of checkpoint 20" in said[0]
    checkpoints = Checkpoints(workdir, keep_latest=1, warn=said.append)
    assert int(checkpoints.restore_latest(template()).step) == 30
    checkpoints.save(make_state(40), metric=-4.0)
    checkpoints.close()
    assert Checkpoints(workdir, read_only=True).steps == [20, 40], "it may be the best"


def test_a_checkpoint_under_another_number_is_not_trusted(three):
    workdir, said = three
    shutil.copytree(workdir / "checkpoints" / "20", workdir / "checkpoints" / "50")
    checkpoints = Checkpoints(workdir, warn=said.append)
    with pytest.raises(Damaged, match=r"checkpoint 50 .* holds the state of 20"):
        checkpoints.restore(50, template())
    assert int(checkpoints.restore_latest(template()).step) == 30
    assert checkpoints.steps == [20, 30]
    assert len(said) == 1


@pytest.mark.parametrize(
    "info", ["", "[]", "{}", '{"fingerprint": "x"}', '{"fingerprint": {"a": [1]}}']
)
def test_a_foreign_fingerprint_is_damage(three, info):
    workdir, said = three
    (workdir / "checkpoints" / "30" / "info" / "metadata").write_text(info)
    restored = Checkpoints(workdir, warn=said.append).restore_latest(template())
    assert int(restored.step) == 20
    assert "checkpoint 30" in said[0]


def test_checkpoints_cut_short_are_passed_over_or_end_in_one_sentence(three):
    workdir, said = three
    folder = workdir / "checkpoints"

    def cut(step):
        for path in (folder / str(step)).rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:20])

    cut(30)
    assert int(Checkpoints(workdir, warn=said.append).restore_latest(template()).step) == 20
    for step in (10, 20):
        cut(step) if (folder / str(step)).exists() else None
    with pytest.raises(UserError, match=r"no checkpoint in .* can be used"):
        Checkpoints(workdir, warn=said.append).restore_latest(template())
    (folder / "20" / "_CHECKPOINT_METADATA").write_text("[]")
    with pytest.raises(UserError, match="cannot be listed"):
        Checkpoints(workdir)


def test_where_one_process_cannot_read_a_checkpoint_all_try_the_one_before(three, monkeypatch):
    workdir, said = three
    others = iter([False, True, False, False])  # each is seen, or could not be read, by another
    monkeypatch.setattr(parallel, "agreed", lambda flag: next(others) or flag)
    restored = Checkpoints(workdir, warn=said.append).restore_latest(template())
    assert int(restored.step) == 20
    assert said == ["checkpoint 30 is damaged for another process; trying the one before"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match="checkpoints is no folder"):
        Checkpoints(tmp_path)


def test_a_checkpoint_that_gets_its_score_later_is_never_missing(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make_state(10), metric=None)
    checkpoints.wait()

    def cut(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.manager, "save", cut)
        with pytest.raises(UserError, match="earlier checkpoints are intact"):
            checkpoints.save(make_state(10), metric=-1.0)
    assert saved_steps(tmp_path) == [10]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps == [10]
    checkpoints.restore(10, template())
    checkpoints.save(make_state(10), metric=-1.0)
    checkpoints.close()
    again = Checkpoints(tmp_path, read_only=True)
    assert again.manager.metrics(10) == {"elbo": -1.0}
    again.restore(10, template())
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["10"]
