"""Kernel distances against a second implementation, and their mean where there is no distance."""

import itertools

import numpy as np
import pytest

from vdp.metrics import kid


def draws(num, dims=3, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(num, dims)) + shift


def one_pair_after_the_other(a, b):
    kernel = lambda x, y: (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3
    mean = lambda pairs: np.mean([kernel(x, y) for x, y in pairs])
    pairs = mean(itertools.permutations(a, 2)), mean(itertools.permutations(b, 2))
    return sum(pairs) - 2 * mean(itertools.product(a, b))


@pytest.mark.parametrize(("num_a", "num_b"), [(2, 2), (5, 7)])
def test_it_is_that_of_all_pairs(num_a, num_b):
    a, b = draws(num_a), draws(num_b, seed=1, shift=0.5)
    exact = one_pair_after_the_other(a, b)
    assert kid.squared_discrepancy(a, b) == pytest.approx(exact, rel=1e-12)
    rounded = kid.squared_discrepancy(a.astype(np.float32), b.astype(np.float32))
    assert rounded == pytest.approx(exact, rel=1e-5), "sums are double precision"


def test_two_halves_of_one_set_are_as_often_below_zero_as_above():
    x = draws(4000)
    halves = [
        kid.squared_discrepancy(x[i : i + 10], x[i + 10 : i + 20]) for i in range(0, 4000, 20)
    ]
    assert 0.2 < np.mean(np.array(halves) < 0) < 0.8
    assert abs(np.mean(halves)) < 4 * np.std(halves) / np.sqrt(len(halves))


def test_the_mean_is_the_same_for_any_number_and_the_error_is_that_of_the_mean():
    many = (draws(1500, seed=seed, shift=shift) for seed, shift in ((0, 0.0), (1, 0.5)))
    exact = kid.squared_discrepancy(*many)
    found = [
        kid.kernel_distance(draws(60, seed=200 + i), draws(90, seed=400 + i, shift=0.5))
        for i in range(60)
    ]
    means, errors = (np.array([entry[name] for entry in found]) for name in ("mean", "se"))
    assert abs(means.mean() - exact) < 4 * means.std() / np.sqrt(60) + 0.02
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.3)
    assert (found[0]["subset"], found[0]["subsets"]) == (6, 10)


def test_subsets_are_drawn_whatever_the_order_of_the_images():
    ordered = np.sort(draws(400, dims=1), axis=0)
    found = kid.kernel_distance(ordered, draws(400, dims=1, seed=1))
    assert abs(found["mean"]) < 5 * found["se"]
    assert found == kid.kernel_distance(ordered, draws(400, dims=1, seed=1))


def test_subsets_of_few_and_of_many_images(monkeypatch):
    assert kid.kernel_distance(draws(1), draws(50)) is None
    monkeypatch.setattr(kid, "LARGEST", 20)
    of = lambda num: kid.kernel_distance(draws(num, dims=1), draws(300, dims=1))
    sizes = {num: (of(num)["subset"], of(num)["subsets"]) for num in (2, 7, 45, 230)}
    assert sizes == {2: (2, 1), 7: (2, 3), 45: (4, 11), 230: (20, 11)}
    assert of(2)["se"] is None
