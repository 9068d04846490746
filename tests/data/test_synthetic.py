"""The images whose probability is known: it is one over all images, and that of those drawn."""

import itertools

import numpy as np

from vdp.data.core import Request
from vdp.data.sources import synthetic

LEVELS = 3


def test_the_probabilities_of_all_images_are_those_of_the_draws():
    images = np.array(list(itertools.product(range(LEVELS), repeat=2)), np.uint8)
    probability = np.exp(synthetic.log_prob(images.reshape(-1, 1, 2, 1), LEVELS))
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-9)
    _, splits = synthetic.load("1x2x1x3", Request(dir=None))
    drawn = np.concatenate([split.images for split in splits.values()]).reshape(-1, 2)
    counts = np.bincount(drawn @ [LEVELS, 1], minlength=len(images))
    expected = len(drawn) * probability
    error = np.sqrt(expected * (1 - probability))
    assert np.all(np.abs(counts - expected) < 4.5 * error + 1)
    assert counts.max() > 2 * counts.min()
