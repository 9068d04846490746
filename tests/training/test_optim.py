"""The optimiser: optax's own updates, groups, clipping, ranges and schedules."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from starting import started

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.runtime import parallel
from vdp.settings import Optim
from vdp.training import optim, state

PARAMS = {
    "encoder": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([0.5])},
    "prior": {"kernel": jnp.array([3.0])},
}
GRADIENTS = jax.tree.map(lambda x: 0.3 * jnp.ones_like(x), PARAMS)


def optimizer_config(**fields):
    return Optim(**(dict(schedule="constant", learning_rate=0.1) | fields))


def update(cfg, gradients=GRADIENTS, steps=1):
    optimizer = optim.make(cfg, 100, PARAMS)
    params, opt_state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adam", optax.adam(0.1)),
        ("adamw", optax.adamw(0.1, weight_decay=0.0)),
        ("adamax", optax.adamax(0.1)),
    ],
)
def test_optimisers_are_optax_own(name, reference):
    opt_state, params = reference.init(PARAMS), PARAMS
    for _ in range(3):
        updates, opt_state = reference.update(GRADIENTS, opt_state, params)
        params = optax.apply_updates(params, updates)
    updated = update(optimizer_config(name=name), steps=3)
    for a, b in zip(jax.tree.leaves(updated), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_leaves_of_one_group_are_one_vector_and_come_back():
    cfg = optimizer_config(name="adamw", weight_decay=0.1, groups={"prior": 0.5})
    optimizer = optim.make(cfg, 10, PARAMS, packed=True)
    tree = {"params": PARAMS, "opt_state": optimizer.init(PARAMS), "other": jnp.ones(3)}
    packed = optimizer.packing.pack(tree)
    assert sorted(len(v) for v in packed["params"].values()) == [1, 1, 2]
    plain, decayed = optim.Group(1.0, False), optim.Group(1.0, True)
    np.testing.assert_array_equal(packed["params"][plain], PARAMS["encoder"]["bias"])
    np.testing.assert_array_equal(packed["params"][decayed], PARAMS["encoder"]["kernel"])
    jax.tree.map(np.testing.assert_array_equal, optimizer.packing.unpack(packed), tree)


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_held_stays_though_l2_has_a_gradient(packed):
    """Of one part in a million Adamax makes a whole step where the loss has no gradient."""
    cfg = optimizer_config(name="adamax", l2=1e-6, groups={"prior/kernel": 1.0})
    cases = ({}, 0.1), ({"held": ("prior",)}, 0.0), ({"unshrunk": ("prior",)}, 0.0)
    for kept, moved in cases:
        optimizer = optim.make(cfg, 100, PARAMS, packed=packed, **kept)
        given = jax.tree.map(jnp.zeros_like, PARAMS), optimizer.init(PARAMS), PARAMS
        updates = optimizer.unpack(optimizer.update(*optimizer.pack(given))[0])
        np.testing.assert_allclose(updates["prior"]["kernel"], -moved, rtol=0.02)
        np.testing.assert_allclose(updates["encoder"]["bias"], -0.1, rtol=0.02)


def test_the_points_of_a_prior_are_not_shrunk():
    """The loss has next to no gradient there, and L2 would draw all pseudo-inputs to one grey."""
    kinds = {"normal": {"learned": True}, "mixture": {}, "vamp": {}}
    for name, fields in (kinds | {"flow": {"net": {"name": "MADE"}}}).items():
        prior = build.build("prior", {"name": name} | fields, input_levels=256)
        params, _ = started(prior, jax.random.key(0), (2,), x_shape=(2, 2, 1))
        assert set(prior.points) == (set(params) if name in kinds else set())
    settings = config.settings("digits_dvp:smoke,vamp", [("optim.warmup_steps", "0")])
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    assert settings.optim.l2 > 0
    mesh = parallel.make_mesh(jax.devices()[:1])
    optimizer, shapes = state.template(settings, model, facts.shape, mesh)
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes.params)
    given = jax.tree.map(jnp.zeros_like, ones), optimizer.init(ones), ones
    updates = optimizer.unpack(optimizer.update(*optimizer.pack(given))[0])
    assert not updates["prior"]["logit_inputs"].any()
    assert all(leaf.any() for leaf in jax.tree.leaves(updates["encoder"]))


@pytest.mark.parametrize("packed", [False, True])
def test_no_update_leads_out_of_a_range(packed):
    """Neither the gradient nor L2, which a clamp in the model would not stop; and back at once."""
    cfg = optimizer_config(name="adamax", l2=0.1)
    params = PARAMS | {"noise": jnp.full(3, -6.0)}
    optimizer = optim.make(cfg, 100, params, packed=packed, ranges={"noise": (-12.0, -5.0)})
    pack, unpack = (
        (optimizer.packing.pack, optimizer.packing.unpack) if packed else [lambda tree: tree] * 2
    )
    opt_state = optimizer.init(params)

    def step_by(pull, params, opt_state):
        gradients = jax.tree.map(jnp.zeros_like, params) | {"noise": jnp.full(3, pull)}
        new = optimizer.update(*pack((gradients, opt_state, params)))
        updates, opt_state = unpack(new)
        return optax.apply_updates(params, updates), opt_state

    for _ in range(50):
        params, opt_state = step_by(-1.0, params, opt_state)
    np.testing.assert_allclose(params["noise"], -5.0, rtol=1e-6)
    assert jnp.abs(params["encoder"]["kernel"] - PARAMS["encoder"]["kernel"]).max() > 0.1
    for _ in range(20):
        params, opt_state = step_by(1.0, params, opt_state)
    assert params["noise"].max() < -5.0


def test_l2_enters_the_gradient_and_weight_decay_does_not():
    l2 = update(optimizer_config(name="adam", l2=0.5))
    by_hand = jax.tree.map(lambda g, p: g + 0.5 * p, GRADIENTS, PARAMS)
    plain = update(optimizer_config(name="adam"), by_hand)
    for a, b in zip(jax.tree.leaves(l2), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    decayed = update(optimizer_config(name="adamw", weight_decay=0.5))
    plain = update(optimizer_config(name="adamw"))
    difference = decayed["encoder"]["kernel"] - plain["encoder"]["kernel"]
    np.testing.assert_allclose(difference, -0.1 * 0.5 * PARAMS["encoder"]["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(decayed["encoder"]["bias"], plain["encoder"]["bias"])


def test_groups_scale_and_freeze():
    groups = {"encoder": 0.0, "prior": 0.5}
    updated = update(optimizer_config(name="adamw", weight_decay=0.1, groups=groups))
    full = update(optimizer_config(name="adamw", weight_decay=0.1))
    np.testing.assert_array_equal(updated["encoder"]["kernel"], PARAMS["encoder"]["kernel"])
    moved = full["prior"]["kernel"] - PARAMS["prior"]["kernel"]
    np.testing.assert_allclose(updated["prior"]["kernel"], PARAMS["prior"]["kernel"] + 0.5 * moved)
    longest = optimizer_config(groups={"encoder": 0.0, "encoder/bias": 1.0})
    assert update(longest)["encoder"]["bias"] != PARAMS["encoder"]["bias"]
    for groups in ({"enc": 0.0}, {"encoder/scale": 20.0}):
        with pytest.raises(UserError, match="enc"):
            optim.make(optimizer_config(groups=groups), 10, PARAMS)
    with pytest.raises(UserError, match=r"did you mean encoder/kernel\?"):
        optim.make(optimizer_config(groups={"encoder/kernal": 2.0}), 10, PARAMS)
    fixed = PARAMS | {"decoder": {"likelihood": {}}}  # a part that is there, with nothing to learn
    optim.make(optimizer_config(groups={"decoder/likelihood": 20.0}), 10, fixed)


def test_clipping_is_by_global_norm_of_what_is_trained():
    plain = dict(name="adam", b1=0.0, eps=1e6, learning_rate=1e6, schedule="constant")
    cfg = Optim(**plain, clip_norm=0.1)  # so large an eps makes Adam a plain gradient step
    moved = jax.tree.map(lambda a, b: a - b, PARAMS, update(cfg))
    np.testing.assert_allclose(optax.tree.norm(moved), 0.1, rtol=1e-4)
    cfg = dataclasses.replace(cfg, groups={"encoder": 0.0})
    moved = jax.tree.map(lambda a, b: a - b, PARAMS, update(cfg))
    np.testing.assert_allclose(moved["prior"]["kernel"], 0.1, rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [("cosine", 0.55, 0.1), ("linear", 0.55, 0.1), ("constant", 1, 1)],
)
def test_learning_rate_schedules(schedule, middle, end):
    chosen = dict(schedule=schedule, learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10)
    rate = optim.learning_rate(Optim(**chosen), 110)
    np.testing.assert_allclose([rate(0), rate(5), rate(10)], [0, 0.5, 1.0], atol=1e-6)
    np.testing.assert_allclose([rate(60), rate(110), rate(500)], [middle, end, end], atol=1e-6)


def test_wsd_falls_in_its_last_steps_alone_so_that_longer_runs_share_the_rest():
    chosen = Optim(schedule="wsd", learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10)
    tenth = optim.learning_rate(chosen, 200)  # of 200 steps: 20
    rates = [tenth(step) for step in (5, 10, 180, 190, 200, 900)]
    np.testing.assert_allclose(rates, [0.5, 1, 1, 0.55, 0.1, 0.1], rtol=1e-5)
    chosen = dataclasses.replace(chosen, decay_steps=50)
    short, long = (optim.learning_rate(chosen, steps) for steps in (100, 200))
    assert [float(short(step)) for step in range(51)] == [float(long(step)) for step in range(51)]
    np.testing.assert_allclose([short(75), long(75), long(175)], [0.55, 1, 0.55], rtol=1e-5)


def test_a_warm_up_in_stairs_reaches_the_peak_in_equal_steps():
    chosen = dict(schedule="constant", learning_rate=1.0, warmup_steps=10, warmup_stairs=2)
    rate = optim.learning_rate(Optim(**chosen), 100)
    np.testing.assert_allclose([rate(s) for s in (0, 4, 5, 9, 10)], [0.5, 0.5, 1, 1, 1])


def test_the_gradient_is_clipped_in_its_own_unit_and_l2_comes_after():
    """Adam's first moment after one step is (1 - b1) times what it was given."""

    def given(**fields):
        cfg = optimizer_config(name="adamax", l2=0.01, **fields)
        optimizer = optim.make(cfg, 100, PARAMS, bits_per_nat=0.001)
        _, opt_state = optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)
        moments = [s.mu for s in opt_state if hasattr(s, "mu")]
        return jax.tree.map(lambda mu: mu / 0.1, moments[0])

    norm = 0.3 * 2  # of four gradients of 0.3
    for fields, factor in (
        ({"gradient_unit": "nats"}, 1.0),
        ({"gradient_unit": "bits_per_dim"}, 0.001),
        ({"gradient_unit": "bits_per_dim", "clip_norm": 0.0003}, 0.0003 / norm),
        ({"gradient_unit": "bits_per_dim", "clip_norm": 0.1}, 0.001),
    ):
        expected = jax.tree.map(lambda g, p, f=factor: f * g + 0.01 * p, GRADIENTS, PARAMS)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), given(**fields), expected
        )
    with pytest.raises(UserError, match="bits_per_dim"):
        optimizer_config(gradient_unit="bits")
