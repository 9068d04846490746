"""Arithmetic of traced programs against counts by hand, and against XLA's own."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from vdp.accelerators import products
from vdp.nets.same_conv import conv3x3


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def counted(function, *shapes, platform="tpu"):
    return products.count(jax.jit(function).trace(*shapes).jaxpr, platform)


def test_products_by_precision_and_type():
    found = counted(lambda a, b: a @ b, shape(3, 5), shape(5, 7))
    assert found == {"single": 2 * 3 * 5 * 7}
    narrow = shape(5, 7, dtype=jnp.bfloat16)
    assert counted(lambda a, b: a.astype(b.dtype) @ b, shape(3, 5), narrow) == {"half": 210}
    exact = lambda a, b: jnp.dot(a, b, precision=lax.Precision.HIGHEST)
    assert counted(exact, shape(3, 5), shape(5, 7)) == {"full": 210}
    batched = lambda a, b: jnp.einsum("bij,bjk->bik", a, b)
    assert counted(batched, shape(4, 3, 5), shape(4, 5, 7)) == {"single": 4 * 210}


def test_scans_count_as_often_as_they_run_and_gradients_three_times():
    def loss(w, x):
        step = lambda x, w: (jnp.tanh(x @ w), None)
        return lax.scan(step, x, w)[0].sum()

    shapes = shape(6, 8, 8), shape(4, 8)
    once = 2 * 4 * 8 * 8
    assert counted(loss, *shapes) == {"single": 6 * once}
    assert counted(jax.grad(loss, argnums=(0, 1)), *shapes) == {"single": 18 * once}
    again = jax.grad(lambda w, x: jax.checkpoint(loss)(w, x), argnums=(0, 1))
    assert counted(again, *shapes) == {"single": 24 * once}


def test_of_branches_the_one_with_most_work():
    def either(p, a, b):
        return lax.cond(p, lambda: a @ b, lambda: a @ b @ b)

    assert counted(either, shape(dtype=jnp.bool_), shape(2, 2), shape(2, 2)) == {"single": 32}


def test_zeros_around_an_image_meet_no_weight():
    convolve = lambda x, k: lax.conv_general_dilated(
        x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    met = (2 + 3 + 3 + 2) ** 2  # of 4 places by 3 weights, on each axis
    found = counted(convolve, shape(5, 4, 4, 6), shape(3, 3, 6, 7))
    assert found == {"single": 2 * 5 * 6 * 7 * met}


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_and_their_gradients_are_counted_as_xla_counts_them(strides, transposed):
    layout = ("NHWC", "HWIO", "NHWC")
    apply = lax.conv_transpose if transposed else lax.conv_general_dilated
    convolve = lambda x, k: apply(x, k, strides, "SAME", dimension_numbers=layout)
    shapes = shape(2, 8, 8, 3), shape(4, 4, 3, 5)
    counts = lambda function: (
        counted(function, *shapes).total(),
        jax.jit(function).lower(*shapes).cost_analysis()["flops"],
    )
    ours, theirs = counts(convolve)
    assert ours == theirs
    loss = lambda x, k: jnp.sum(convolve(x, k) ** 3)
    ours, theirs = counts(jax.value_and_grad(loss, argnums=(0, 1)))
    beside = 12 * jax.eval_shape(convolve, *shapes).size  # powers and sums
    assert ours <= theirs <= ours + beside < 1.4 * ours


def test_the_branch_of_the_platform_is_taken():
    gradient = jax.grad(lambda k, x: conv3x3(x, k).sum() * conv3x3(x, k)[0, 0, 0, 0])
    shapes = shape(3, 3, 8, 8), shape(2, 8, 8, 8)
    ours, theirs = (counted(gradient, *shapes, platform=name) for name in ("cpu", "gpu"))
    assert ours.total() > theirs.total() > 0
    assert counted(gradient, *shapes, platform="tpu") == theirs
