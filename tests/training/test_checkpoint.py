"""Checkpoints: what is kept, what is trusted."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.runtime import parallel
from vdp.training import state
from vdp.training.checkpoint import Checkpoints, Damaged, fingerprint
from vdp.training.state import State


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


@pytest.mark.parametrize("name", LAYOUTS)
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
    found = hashlib.sha256("\n".join([parts, *lines]).encode()).hexdigest()[:12]
    assert found == LAYOUTS[name]


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
    found = Checkpoints(tmp_path, read_only=True)
    assert found.steps == [20, 50, 60], "those without a metric count among the latest only"
    assert found.resolve("best") == 20
    assert found.resolve("latest") == 60
    assert found.resolve("50") == 50
    restored = found.restore(20, template())
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(make_state(20)), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="best, latest, 20, 50, 60"):
        found.resolve(30)


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
