"""The area under the ROC curve and its error, against scikit-learn and resampling."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vdp.metrics import auroc, complexity


def scores(m=80, n=120, *, shift=0.7, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    higher, lower = rng.normal(shift, 1.5, size=m), rng.normal(size=n)
    return (np.round(higher), np.round(lower)) if ties else (higher, lower)


@pytest.mark.parametrize("ties", [False, True])
def test_area_is_scikit_learns_and_its_error_that_of_resampling(ties):
    higher, lower = scores(ties=ties)
    found, rng = auroc.area(higher, lower), np.random.default_rng(1)
    labels = np.repeat([1, 0], [len(higher), len(lower)])
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, np.concatenate([higher, lower])))
    again = lambda x: rng.choice(x, len(x))
    drawn = [auroc.area(again(higher), again(lower))["auroc"] for _ in range(1000)]
    assert found["se"] == pytest.approx(np.std(drawn), rel=0.1)
    turned = auroc.area(lower, higher)
    assert turned["auroc"] == pytest.approx(1 - found["auroc"])
    assert turned["se"] == pytest.approx(found["se"])


def test_the_error_is_that_over_sets_of_images():
    drawn = [auroc.area(*scores(30, 50, seed=seed)) for seed in range(500)]
    errors = np.array([entry["se"] for entry in drawn])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(
        np.std([entry["auroc"] for entry in drawn]), rel=0.1
    )


def test_areas_known_by_hand():
    area = lambda higher, lower: auroc.area(np.array(higher), np.array(lower))
    assert area([3.0, 4.0], [1.0, 2.0]) == {"auroc": 1.0, "se": 0.0}
    assert area([1.0, 3.0], [2.0, 2.0])["auroc"] == 0.5
    assert area([2.0, 2.0], [2.0, 2.0]) == {"auroc": 0.5, "se": 0.0}
    assert area([2.0], [1.0, 2.0]) == {"auroc": 0.75, "se": None}


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_noise_takes_more_bits_than_one_colour(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(2, 16, 16, channels)).astype(np.uint8)
    images[0] = 7
    flat, noise = complexity.compressed_bits(images)
    assert flat % 8 == 0
    assert flat < 1500 < 16 * 16 * 8 * channels < noise
