"""Training steps: golden numbers, chunks, bad updates, EMA, and states that are carried packed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from first_step import setup

from vdp import build, config
from vdp.data import datasets
from vdp.runtime import parallel
from vdp.training import fit, state

GOLDEN = {  # digits_vae:smoke at step 0; changes with the model, the noise or the data only
    "loss": 177.77633666992188,
    "elbo": -176.36849975585938,
    "likelihood": -178.12840270996094,
    "entropy": 17.067554473876953,
    "latent_0": 24.972736358642578,
    "latent_1": -0.01449159998446703,
    "diffusion": -40.26593017578125,
    "grad_norm": 35.1444206237793,
    "beta": 0.20000000298023224,
}


@pytest.fixture(scope="module")
def first():
    """(state, compiled step, feed)."""
    start, chunk, feed = setup()
    return start, jax.jit(chunk), feed


def test_golden_metrics_of_the_first_step(first):
    start, step, feed = first
    after, metrics = step(start, feed.feed(0, 1))
    mean = {name: float(value[0]) for name, value in metrics.items()}
    for name, value in GOLDEN.items():
        np.testing.assert_allclose(mean[name], value, rtol=1e-4, err_msg=name)
    before, after = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
        for params in (start.params, after.params)
    )
    np.testing.assert_allclose(mean["param_norm"], np.linalg.norm(after), rtol=1e-5)
    np.testing.assert_allclose(mean["update_norm"], np.linalg.norm(after - before), rtol=1e-3)


def test_one_chunk_is_its_steps(first):
    start, single, feed = first
    together, metrics = jax.jit(setup(num_steps=4)[1])(start, feed.feed(0, 4))
    apart, singly = start, []
    for i in range(4):
        apart, m = single(apart, feed.feed(i, 1))
        singly.append(m)
    assert metrics.keys() == singly[0].keys()
    for name, values in metrics.items():
        one_by_one = np.concatenate([m[name] for m in singly])
        assert values.dtype == one_by_one.dtype, name
        np.testing.assert_allclose(values, one_by_one, rtol=1e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(metrics["loss"], [m["loss"][0] for m in singly], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert int(together.step) == 4


@pytest.mark.slow  # half a minute: every operation is compiled on its own
def test_jit_changes_nothing_but_rounding():
    start, chunk, feed = setup()
    fed = feed.feed(0, 1)
    with jax.disable_jit():
        _, plain = chunk(start, fed)
    _, jitted = jax.jit(chunk)(start, fed)
    for name in jitted:
        np.testing.assert_allclose(plain[name], jitted[name], rtol=2e-4, err_msg=name)


def test_bad_updates_are_skipped_and_counted(first):
    start, step, feed = first
    poisoned = start.replace(params=jax.tree.map(lambda x: x * jnp.nan, start.params))
    after, metrics = step(poisoned, feed.feed(0, 1))
    assert int(metrics["bad_steps"][0]) == 1
    assert int(after.step) == 1
    for a, b in zip(
        jax.tree.leaves(start.opt_state), jax.tree.leaves(after.opt_state), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(start.ema), jax.tree.leaves(after.ema), strict=True):
        np.testing.assert_array_equal(a, b)
    healed, metrics = step(start.replace(bad_steps=jnp.int32(3)), feed.feed(0, 1))
    assert int(healed.bad_steps) == 0


@pytest.mark.parametrize(("warmup", "decays"), [("False", [0.2] * 3), ("True", [0.1, 2 / 11, 0.2])])
def test_ema_is_the_exponential_average(warmup, decays):
    given = {"train.ema_decay": "0.2", "train.ema_warmup": warmup, "optim.warmup_steps": "0"}
    start, chunk, feed = setup(variant="prior=normal,smoke", **given)
    expected, current, jitted = start.params, start, jax.jit(chunk)
    for i, decay in enumerate(decays):
        current, _ = jitted(current, feed.feed(i, 1))
        average = lambda e, p, d=decay: d * e + (1 - d) * p
        expected = jax.tree.map(average, expected, current.params)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(current.ema), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_a_state_is_carried_packed_and_comes_back_whole(monkeypatch):
    monkeypatch.setattr(state, "PACKED_LEAVES", 2)
    settings = config.settings("digits_vae:prior=normal,smoke")
    dataset, mesh = datasets.load(settings.data), parallel.make_mesh()
    model = build.model(settings.model, dataset.facts)
    optimizer, template = state.template(settings, model, dataset.facts.shape, mesh)
    start = fit.new_state(settings, model, optimizer, template, dataset)
    carried = state.carried(optimizer, start)
    assert len(jax.tree.leaves(carried.params)) < len(jax.tree.leaves(start.params))
    of = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), tree)
    assert of(carried) == of(state.carried(optimizer, template))
    back = state.whole(optimizer, carried)
    double = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)
    jax.block_until_ready(double(carried))  # its buffers are given away, and written to
    jax.tree.map(np.testing.assert_array_equal, back, start)
    assert of(back) == of(template)


@pytest.mark.slow
def test_packed_steps_are_the_steps_of_leaves_apart():
    given = {"optim.groups.prior": "0.5", "train.ema_decay": "0.5", "optim.warmup_steps": "0"}
    ends = []
    for packed in (False, True):
        of_run = setup(num_steps=3, packed=packed, parts=True, **given)
        current, chunk, feed, _, optimizer = of_run
        ends.append(jax.jit(chunk)(current, feed.feed(0, 3)))
    (apart, _), (together, _) = ends
    start, together = optimizer.unpack((current, together))
    assert jax.tree.structure(apart) == jax.tree.structure(together)
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), apart.params, start.params)
    assert max(jax.tree.leaves(moved["prior"])) > 1e-4
    for a, b in zip(jax.tree.leaves(apart), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_parameters_are_counted_by_role():
    params = {"encoder": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)}, "prior": jnp.ones(1)}
    assert state.count_parameters(params) == {"total": 4, "encoder": 3, "prior": 1}
