"""Samples beside images: which images are judged with them, and which set is which."""

import numpy as np

from vdp.evaluation import samples
from vdp.metrics import fid, manifold


def test_images_are_judged_in_as_many_as_there_are_samples():
    """FID of finite sets of one distribution is c (1/N + 1/M): it must not depend on the split."""
    rng = np.random.default_rng(0)
    expected = fid.statistics(rng.normal(size=(20_000, 8)))
    drawn, real = rng.normal(size=(500, 8)), rng.normal(size=(4_000, 8))
    distance = lambda found: fid.frechet_distance(fid.statistics(found), expected)
    parts = samples._as_many(real, len(drawn), seed=0)
    assert [part.shape for part in parts] == [(500, 8)] * 8
    assert len(np.unique(np.concatenate(parts), axis=0)) == 4_000
    found = [distance(part) for part in parts]
    assert abs(np.mean(found) - distance(drawn)) < 4 * np.std(found, ddof=1)
    assert distance(real) < 0.4 * np.mean(found), "of the whole split it is another number"
    (few,) = samples._as_many(real[:300], len(drawn), seed=0)
    assert len(few) == 300
    assert len(samples._as_many(real, 100, seed=0)) == samples.SUBSETS


def test_samples_in_half_of_the_images_are_precise_and_recall_half():
    rng = np.random.default_rng(0)
    images, drawn = rng.uniform(0, 1, (200, 1)), rng.uniform(0, 0.5, (200, 1))
    found = samples._beside(manifold.manifold, images, drawn, None, seed=0)
    assert found["precision"] > 0.9
    assert 0.4 < found["recall"] < 0.6
    assert found["real"] is None
