"""Code that differs between CPUs and accelerators follows the device it is traced for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, config
from vdp.data import datasets, feeds
from vdp.data.core import Split
from vdp.nets import LadderEncoder
from vdp.runtime import backend, parallel
from vdp.settings import Settings
from vdp.training import program, state


def test_the_context_says_what_a_program_is_for():
    assert backend.platform() == jax.default_backend() == "cpu"
    with backend.tracing_for("tpu"):
        assert backend.platform() == "tpu"
        with backend.tracing_for("cpu"):
            assert (backend.on_cpu(), backend.on_tpu()) == (True, False)
        assert (backend.on_cpu(), backend.on_tpu()) == (False, True)
    assert backend.on_cpu()


def test_dispatches_and_packing_follow_it(monkeypatch):
    monkeypatch.setattr(state, "PACKED_LEAVES", 2)
    settings = config.settings("digits_vae:prior=normal,smoke")
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    packing = lambda: state.template(settings, model, facts.shape, parallel.make_mesh())[0].packing
    assert program.chunk_steps(Settings()) == 1
    assert packing() is not None
    with backend.tracing_for("gpu"):
        assert program.chunk_steps(Settings()) == 100
        assert packing() is not None
    with backend.tracing_for("tpu"):
        assert program.chunk_steps(Settings()) == 100
        for steps, every, expected in (
            (1216, 152, 76),  # both are multiples
            (960, 150, 30),  # 96 would divide the steps alone
            (1350, 77, 90),  # no length from 10 on divides both
            (1217, 100, 100),  # a prime number of steps
            (10**7, 1000, 100),
        ):
            told = Settings().replace(train=dict(steps=steps), eval=dict(every=every))
            assert program.chunk_steps(told) == expected
        assert packing() is None
    assert program.chunk_steps(Settings().replace(train=dict(steps_per_dispatch=7))) == 7


@pytest.mark.parametrize(
    ("platform", "train", "rolled"),
    [
        ("cpu", True, False),
        ("cpu", False, True),
        ("gpu", True, False),
        ("gpu", False, True),
        ("tpu", True, True),
    ],
)
def test_blocks_are_a_loop_of_the_program_where_that_is_good(platform, train, rolled):
    net, x, scales = (
        LadderEncoder(width=4, hidden=3, blocks=3),
        jnp.zeros((2, 8, 8, 1)),
        [(4, 1, 1)],
    )
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), x, scales)["params"])
    with backend.tracing_for(platform):
        trace = jax.make_jaxpr(lambda params: net.apply({"params": params}, x, scales, train=train))
        scans = [e.params for e in trace(params).eqns if e.primitive.name == "scan"]
    assert [(of["length"], of["unroll"] < 3) for of in scans] == [(3, rolled)]


@pytest.mark.parametrize("placement", ["device", "host"])
def test_shapes_of_a_feed_are_those_it_has(placement):
    mesh = parallel.make_mesh()
    split = Split(images=np.zeros((23, 4, 4, 1), np.uint8), labels=np.zeros(23, np.int32))
    how = dict(batch_size=5, placement=placement)
    feed = feeds.make(split, seed=0, mesh=mesh, **how).feed(3, 7)
    expected = feeds.shapes(23, (4, 4, 1), num_steps=7, mesh=mesh, **how)
    assert {name: (a.shape, a.dtype) for name, a in feed.items()} == {
        name: (a.shape, a.dtype) for name, a in expected.items()
    }
