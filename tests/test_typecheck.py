"""Annotations are checked while tests run, those of functions inside functions as well."""

import jax.numpy as jnp
import jaxtyping
import pytest
from jaxtyping import Float
from typecheck import checked

from vdp.types import Array

typed = jaxtyping.jaxtyped(typechecker=checked)


def made(shape):
    """A function of one name and one argument, with axes of its own."""
    if shape == "a":

        @typed
        def of(x: Float[Array, "a"]) -> float:
            return float(x.sum())
    else:

        @typed
        def of(x: Float[Array, "a b"]) -> float:
            return float(x.sum())

    return of


def test_a_function_that_is_made_again_is_checked_again_by_its_own_annotations():
    vector, matrix = jnp.ones(2), jnp.ones((2, 3))
    for _ in range(3):
        assert made("a")(vector) == 2
        assert made("a b")(matrix) == 6
        for shape, wrong in (("a", matrix), ("a b", vector)):
            with pytest.raises(jaxtyping.TypeCheckError):
                made(shape)(wrong)


def test_modules_of_vdp_are_checked():
    from vdp.data import datasets
    from vdp.runtime import parallel

    with pytest.raises(jaxtyping.TypeCheckError):
        datasets.binarize(jnp.zeros(3))
    with pytest.raises(jaxtyping.TypeCheckError):
        parallel.check_batch_size("8", 16, "train.batch_size")
