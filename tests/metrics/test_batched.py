"""Functions over arrays of any length: which program computes them, and what of."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vdp
from vdp import build
from vdp.errors import UserError
from vdp.evaluation import estimators
from vdp.metrics import score
from vdp.metrics.batched import Batched
from vdp.run import calibration
from vdp.runtime import parallel

IMAGES = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
ARRAYS = (IMAGES, IMAGES, np.zeros(10, np.int32))


@pytest.fixture
def batched():
    mesh = parallel.make_mesh()
    return Batched(mesh, math.lcm(8, mesh.size), 0)


def total(model, params, stats, batch, rng, *, factor=1):
    return {"value": factor * batch.input.astype(jnp.float32).sum((1, 2, 3))}


def test_padding_is_cut_off_and_order_kept(batched):
    found = batched.map(total, None, {}, {}, ARRAYS)["value"]
    np.testing.assert_array_equal(found, np.arange(10))


def test_a_batch_is_prepared_with_the_key_that_its_function_gets(batched):
    def drawn(model, params, stats, batch, rng):
        return {"value": batch.encoded - jax.random.uniform(rng, (8,))}

    def prepare(params, stats, batch, rng):
        return dataclasses.replace(batch, encoded=jax.random.uniform(rng, (8,)))

    found = batched.map(drawn, None, {}, {}, ARRAYS, prepare=prepare)["value"]
    np.testing.assert_array_equal(found, np.zeros(10))


def test_two_functions_never_share_a_program(smoke_run):
    """Both have one name, one signature and one code but for a constant."""
    run = vdp.load(smoke_run)
    images = run.arrays(run.images("test")[:5])
    functions = [lambda model, p, s, batch, rng, c=c: batch.label * 0 + c for c in (1, 2)]
    first, second = (run.map(function, images) for function in functions)
    np.testing.assert_array_equal(first, 1)
    np.testing.assert_array_equal(second, 2)
    np.testing.assert_array_equal(run.map(functions[0], images), 1)


def test_options_are_part_of_what_is_compiled(batched):
    one, three = (batched.map(total, None, {}, {}, ARRAYS, factor=f)["value"] for f in (1, 3))
    np.testing.assert_array_equal(3 * one, three)


def test_a_program_serves_wherever_it_is_asked_for_on_the_same_devices(batched):
    other = Batched(parallel.make_mesh(), 2 * batched.batch_size, 1)
    assert other.compiled(total, None, factor=7) is batched.compiled(total, None, factor=7)


def test_the_bound_of_an_evaluation_is_the_program_of_a_validation(smoke_run, monkeypatch):
    """Though the chain of the evaluated model is fitted, which this bound does not depend on."""
    run = vdp.load(smoke_run)
    assert "errors" in run.stats["prior"]
    model = build.model(run.trained.model, run.facts)
    images = run.arrays(run.images("test")[:5])
    traced = chex.assert_max_traces(score.flat_terms, n=1)
    monkeypatch.setattr(score, "flat_terms", traced)
    stats = calibration.as_trained(run.stats)
    expected = run.batched.map(score.flat_terms, model, run.params, stats, images)
    found = estimators.terms("elbo", run, images, label="elbo")
    chex.clear_trace_counter()
    np.testing.assert_array_equal(found["value"], expected["value"])


def test_one_function_is_traced_once_for_its_options(batched):
    traced = chex.assert_max_traces(total, n=2)
    for factor in (1, 2, 1, 2, 1):
        batched.map(traced, None, {}, {}, ARRAYS, factor=factor)
    chex.clear_trace_counter()


def test_equal_models_share_a_program_and_others_do_not(batched):
    @dataclasses.dataclass(frozen=True)
    class Constant:
        value: float

    def constant(model, params, stats, batch, rng):
        return jnp.full(len(batch.label), model.value)

    traced = chex.assert_max_traces(constant, n=2)
    for value in (1.0, 2.0, 1.0, 2.0):
        found = batched.map(traced, Constant(value), {}, {}, ARRAYS)
        np.testing.assert_array_equal(found, value)
    chex.clear_trace_counter()


def test_models_that_cannot_be_hashed_are_told_apart(batched):
    @dataclasses.dataclass
    class Mutable:
        value: np.ndarray

    def value(model, params, stats, batch, rng):
        return jnp.full(len(batch.label), model.value)

    for number in (1.0, 2.0):
        found = batched.map(value, Mutable(np.float32(number)), {}, {}, ARRAYS)
        np.testing.assert_array_equal(found, number)


def test_an_option_may_have_any_name(batched):
    def named(model, params, stats, batch, rng, *, function, model_name):
        return jnp.full(len(batch.label), function + model_name)

    found = batched.map(named, None, {}, {}, ARRAYS, function=1, model_name=2)
    np.testing.assert_array_equal(found, 3)


def test_the_batch_size_falls_evenly_on_the_devices():
    mesh = jax.sharding.AbstractMesh((3,), ("data",))
    with pytest.raises(UserError, match=r"eval\.batch_size=8 must be a positive multiple of 3"):
        Batched(mesh, 8, 0)
