"""Evaluation without a compiler: the numbers of jax, and of nothing that is not needed."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp.runtime import uncompiled
from vdp.runtime.uncompiled import evaluated


def numbers(rng):
    """One of each way to use keys."""
    first, second = jax.random.split(rng)
    many = jax.random.split(second, (2, 2))
    return {
        "bits": jax.random.bits(first, (3, 2)),
        "bytes": jax.random.bits(first, (5,), jnp.uint8),
        "halves": jax.lax.bitcast_convert_type(jax.random.bits(second, (3,)), jnp.uint16),
        "folded": jax.random.bits(jax.random.fold_in(first, 7)),
        "each": jax.vmap(lambda key: jax.random.bits(key, (3,)))(many.reshape(-1)),
        "order": jax.random.permutation(first, 6),
        "signs": jax.random.bernoulli(second, 0.3, (4,)),
        "normal": jax.random.normal(first, (2, 3)),
        "truncated": jax.random.truncated_normal(second, -2.0, 2.0, (4,)),
        "words": jax.random.key_data(many),
    }


def scanned(rng, xs):
    """Draws in a scan, on and back, whose carry is used too."""
    step = lambda carry, key: (carry * 1.5 + 1.0, (jax.random.bits(key, (2,)), carry))
    keys = jax.random.split(rng, 3)
    carry, stacked = jax.lax.scan(step, xs, keys)
    back, reversed_ = jax.lax.scan(step, xs, keys, reverse=True)
    return carry, stacked, back, reversed_


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_numbers_are_those_of_the_compiled_function(impl):
    key = jax.random.key(3, impl=impl)
    wanted, found = jax.jit(numbers)(key), evaluated(numbers)(key)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        if value.dtype == jnp.float32:
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], value)


def test_scans_that_draw_run_trip_by_trip():
    key, start = jax.random.key(1), jnp.float32(2.0)
    wanted, found = jax.jit(scanned)(key, start), evaluated(scanned)(key, start)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def looked_at(rng, images):
    """Random rows, and the largest number of every place, in chunks of which the last overlaps."""
    largest = lambda i, m: jnp.maximum(
        m, jax.lax.dynamic_slice_in_dim(images, 3 * i, 3).max(0).astype(jnp.float32)
    )
    rows = images[jax.random.choice(rng, len(images), (4,), replace=False)]
    beyond = images[jnp.array([3, 10**6, -1])]  # the last one, as jax has it
    key = jax.lax.dynamic_index_in_dim(jax.random.split(rng, 3), rows[0, 0, 0] % 3, keepdims=False)
    words = jax.random.bits(key)
    return rows, beyond, words, jax.lax.fori_loop(0, 4, largest, jnp.zeros(images.shape[1:]))


def test_of_large_arrays_only_what_is_taken_goes_to_a_device(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (10, 2, 3), np.uint8)
    sent = []
    by_jax = uncompiled._by_jax
    monkeypatch.setattr(uncompiled, "LARGE", images.size)
    monkeypatch.setattr(
        uncompiled,
        "_by_jax",
        lambda e, values: sent.extend(map(np.size, values)) or by_jax(e, values),
    )
    found = evaluated(looked_at)(jax.random.key(0), images)
    jax.tree.map(
        np.testing.assert_array_equal, found, looked_at(jax.random.key(0), jnp.asarray(images))
    )
    assert sent
    assert max(sent) < images.size


def test_gathers_of_other_kinds_are_jax_s():
    of = lambda rng, x: (x[:, jnp.array([1, 0])], x.at[jnp.array([7, -9])].get(mode="fill"))
    x = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    found, wanted = evaluated(of)(jax.random.key(0), x), of(None, jnp.asarray(x))
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


class Stacked(nn.Module):
    """Three layers that are scanned over; calling them at all fails."""

    @nn.compact
    def __call__(self, x):
        def fails(x):
            raise AssertionError("the network ran")

        class Layer(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                x = jax.pure_callback(fails, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
                return nn.Dense(4)(x), None

        layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return layers()(x, None)[0]


def test_parameters_are_drawn_and_the_network_does_not_run():
    key, x = jax.random.key(0), jnp.ones((1, 4))
    params = evaluated(Stacked().init)(key, x)
    kernel = params["params"]["ScanLayer_0"]["Dense_0"]["kernel"]
    assert kernel.shape == (3, 4, 4)
    assert len(np.unique(kernel)) == 48  # three layers, each of its own numbers
    wanted = nn.Dense(4).init(key, x)["params"]["kernel"]
    assert evaluated(nn.Dense(4).init)(key, x)["params"]["kernel"] == pytest.approx(
        np.asarray(wanted), abs=1e-6
    )


def test_long_chains_need_no_deep_stack():
    def chain(rng):
        for _ in range(2000):
            rng = jax.random.fold_in(rng, 1)
        return jax.random.bits(rng)

    once = lambda rng, _: (jax.random.fold_in(rng, 1), None)
    wanted = jax.jit(lambda rng: jax.random.bits(jax.lax.scan(once, rng, length=2000)[0]))
    assert evaluated(chain)(jax.random.key(0)) == wanted(jax.random.key(0))


def test_what_is_no_array_is_passed_on():
    of = lambda rng, shape, *, data, scale: (scale * data.mean(0) + jnp.zeros(shape), None)
    data = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    value, nothing = evaluated(of)(jax.random.key(0), (2,), data=data, scale=2.0)
    np.testing.assert_allclose(value, 2 * data.mean(0))
    assert nothing is None
