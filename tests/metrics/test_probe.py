"""Probes: perfect where classes lie apart, chance where codes know nothing."""

import numpy as np
import pytest

from vdp.metrics import probe


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(probe, "STRENGTHS", (1e-3, 1e-1, 10.0))
    monkeypatch.setattr(probe, "FOLDS", 2)


def split(num, seed, distance):
    rng = np.random.default_rng(seed)
    labels = np.arange(num, dtype=np.int32) % 4
    codes = rng.normal(size=(num, 6)).astype(np.float32)
    codes[:, :2] += distance * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)[labels]
    codes[:, 5] = 3.0  # a unit that never moves
    return codes, labels


@pytest.mark.parametrize("held_out", [None, split(40, 2, 20.0)])
def test_classes_that_lie_apart_are_read_off(held_out):
    train, scored = split(120, 0, 20.0), split(80, 1, 20.0)
    linear, nearest = probe.linear(train, scored, held_out), probe.nearest(train, scored)
    assert (linear["accuracy"], linear["se"]) == (1.0, 0.0)
    assert linear["c"] == min(probe.STRENGTHS), "the strongest penalty wins a tie"
    assert linear["chosen_by"] == ("cross-validation" if held_out is None else "validation")
    assert nearest == {"accuracy": 1.0, "se": 0.0, "k": probe.NEIGHBOURS}


def test_codes_that_know_nothing_reach_chance():
    train, scored = split(200, 0, 0.0), split(200, 1, 0.0)
    for found in (probe.linear(train, scored), probe.nearest(train, scored)):
        assert found["se"] == pytest.approx(
            np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 200)
        )
        assert abs(found["accuracy"] - 0.25) < 4 * found["se"]


def test_scored_labels_decide_nothing():
    """The penalty is the same whatever the labels of the scored images are."""
    train, held_out = split(60, 0, 1.0), split(60, 2, 1.0)
    codes, labels = split(60, 1, 1.0)
    chosen = [probe.linear(train, (codes, of), held_out)["c"] for of in (labels, labels[::-1])]
    assert chosen[0] == chosen[1]
    best = {c: _score(c, train, held_out) for c in probe.STRENGTHS}
    assert best[chosen[0]] == max(best.values())


def _score(c, train, held_out):
    """A second implementation: standardised by hand."""
    from sklearn.linear_model import LogisticRegression

    mean, std = train[0].mean(0), train[0].std(0)
    scaled = lambda codes: (codes - mean) / np.where(std > 0, std, 1)
    fitted = LogisticRegression(C=c, max_iter=probe.ITERATIONS).fit(scaled(train[0]), train[1])
    return fitted.score(scaled(held_out[0]), held_out[1])


def test_classes_of_few_images_are_no_obstacle():
    codes, labels = split(41, 0, 20.0)
    labels = np.where(np.arange(41) == 0, 9, labels).astype(np.int32)
    found = probe.linear((codes, labels), split(20, 1, 20.0))
    assert (found["chosen_by"], found["accuracy"]) == ("cross-validation", 1.0)
    few = (codes[1:5], labels[1:5])
    assert probe.linear(few, split(20, 1, 20.0))["chosen_by"] == "default"
    assert probe.nearest(few, split(20, 1, 20.0))["k"] == 4


def test_one_answer_has_no_error():
    assert probe.accuracy(np.array([True])) == {"accuracy": 1.0, "se": None}
    found = probe.accuracy(np.array([True, False, True, True]))
    assert found == {"accuracy": 0.75, "se": pytest.approx((0.75 * 0.25 / 4) ** 0.5)}
