"""The largest batch of known memories, and how many compilations it takes to find."""

import pytest

from vdp.accelerators.largest import largest

GIB = 2**30


def found(memory, *, start=64, step=1, room=10 * GIB):
    return largest(memory, start=start, step=step, room=room)


@pytest.mark.parametrize("step", [1, 8, 24])
def test_affine_memory_takes_two_compilations_and_one_to_verify(step):
    per_image = 3_000_000
    result = found(lambda batch: (GIB + per_image * batch, True), step=step)
    assert len(result.tried) == 3
    assert result.batch_size % step == 0
    limit = 9 * GIB / per_image
    assert 0.95 * limit < result.batch_size <= limit
    assert result.memory == GIB + per_image * result.batch_size <= 10 * GIB
    assert result.refused is None


def test_a_first_batch_that_is_too_large_is_followed_by_smaller_ones():
    result = found(lambda batch: (GIB + 2e8 * batch, True), start=250)
    assert result.batch_size in range(43, 49)
    assert result.refused == 250 or result.refused > 48


def test_memory_that_bends_is_bracketed():
    result = found(lambda batch: (GIB + 100.0 * batch**2, True), start=16)
    limit = (9 * GIB / 100) ** 0.5
    assert result.batch_size <= limit
    assert result.batch_size > 0.9 * limit
    assert len(result.tried) <= 7


def test_a_compiler_that_only_refuses_is_bisected():
    def memory(batch):
        return (GIB + 1e7 * batch, True) if batch <= 300 else (None, False)

    result = found(memory, start=128)
    assert 256 <= result.batch_size <= 300 < result.refused


def test_nothing_fits_or_everything_does():
    none = found(lambda batch: (20.0 * GIB, True), step=8)
    assert (none.batch_size, none.memory) == (0, 0.0)
    assert min(none.tried) >= 8
    every = found(lambda batch: (GIB + batch, True), step=3)
    assert every.batch_size > 2**19
    assert every.batch_size % 3 == 0
