"""Draws in a row are those of jax.random, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import draws

KEY, SHAPE = jax.random.key(3), (3, 2, 5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (draws.normal, jax.random.normal),
        (draws.uniform, jax.random.uniform),
        (lambda *args: draws.uniform(*args, -0.5, 0.5),
         lambda *args: jax.random.uniform(*args, minval=-0.5, maxval=0.5)),
        (draws.logistic, jax.random.logistic),
        (draws.gumbel, jax.random.gumbel),
        (draws.signs, lambda *args: jax.random.rademacher(*args, jnp.float32)),
    ],
)  # fmt: skip
def test_numbers_are_those_of_jax(ours, theirs):
    drawn = ours(KEY, SHAPE)
    assert drawn.dtype == jnp.float32
    np.testing.assert_array_equal(drawn, theirs(KEY, SHAPE))
    np.testing.assert_array_equal(ours(KEY, ()), theirs(KEY, ()))


def test_classes_are_those_of_jax():
    logits = 3 * jax.random.normal(jax.random.key(1), SHAPE)
    drawn = draws.categorical(KEY, logits)
    np.testing.assert_array_equal(drawn, jax.random.categorical(KEY, logits))


def test_flags_are_those_of_jax():
    probability = jnp.linspace(0.0, 1.0, 30).reshape(SHAPE)
    drawn = draws.bernoulli(KEY, probability)
    np.testing.assert_array_equal(drawn, jax.random.bernoulli(KEY, probability))
    assert not drawn[0, 0, 0]
    assert drawn[-1, -1, -1]
