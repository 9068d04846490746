"""Precision, recall, density and coverage against a second implementation and on known shapes."""

import numpy as np
import pytest

from vdp.metrics import manifold

NUMBERS = ("precision", "recall", "density", "coverage")


def draws(num, dims=2, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(num, dims)) + shift


def point_by_point(real, fake):
    apart = lambda x, y: float(np.sqrt(np.sum((x - y) ** 2)))

    def radius(x, i, k):
        return sorted(apart(x[i], other) for j, other in enumerate(x) if j != i)[k - 1]

    def within(point, x, k):
        return [apart(point, x[i]) <= radius(x, i, k) for i in range(len(x))]

    return {
        "precision": np.mean([any(within(y, real, 3)) for y in fake]),
        "recall": np.mean([any(within(x, fake, 3)) for x in real]),
        "density": sum(sum(within(y, real, 5)) for y in fake) / (5 * len(fake)),
        "coverage": np.mean(np.array([within(y, real, 5) for y in fake]).any(0)),
    }


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_they_are_those_of_all_balls(shift, monkeypatch):
    real, fake = draws(20), draws(20, seed=1, shift=shift)
    exact = point_by_point(real, fake)
    whole = manifold.manifold(real, fake)
    assert {name: whole[name] for name in NUMBERS} == pytest.approx(exact)
    monkeypatch.setattr(manifold, "MEBIBYTES", 20 * 8 * 7 / 2**20)  # seven rows of distances
    assert manifold.manifold(real, fake) == whole


def test_identical_sets_and_sets_far_apart():
    real = draws(50)
    same, far = manifold.manifold(real, real.copy()), manifold.manifold(real, real + 1000)
    assert [same[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert [far[name] for name in NUMBERS] == [0, 0, 0, 0]


def test_one_of_two_clusters_is_precise_and_covers_half():
    left, right = draws(100), draws(100, seed=1, shift=100)
    found = manifold.manifold(np.concatenate([left, right]), draws(200, seed=2))
    assert found["precision"] > 0.9
    assert 0.4 < found["recall"] <= 0.5
    assert 0.45 < found["coverage"] <= 0.5
    assert found["density"] == pytest.approx(1, abs=0.25)


def test_an_outlier_of_the_images_raises_precision_and_not_density():
    """The published reason for the second pair of numbers."""
    real = draws(100)
    real[0] = 60.0
    found = manifold.manifold(real, draws(100, seed=1, shift=30.0))
    assert found["precision"] == 1
    assert found["density"] < 0.25
    assert found["coverage"] == pytest.approx(0.01)


def test_both_sets_have_one_number_which_is_said(monkeypatch):
    ordered = np.sort(draws(400, dims=1), axis=0)
    found = manifold.manifold(ordered, draws(40, dims=1, seed=1))
    assert found["num"] == 40
    assert found["recall"] > 0.8, "drawn from all of the larger set"
    assert (found["k_precision_recall"], found["k_density_coverage"]) == (3, 5)
    monkeypatch.setattr(manifold, "LARGEST", 25)
    assert manifold.manifold(ordered, ordered)["num"] == 25
    assert manifold.manifold(draws(5), draws(50)) is None
    assert manifold.manifold(draws(6), draws(50))["num"] == 6
