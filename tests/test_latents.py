"""Active units of a hierarchy: variance over images, without the variance within one."""

import numpy as np

from vdp.evals import latents

RNG = np.random.default_rng(0)


def draws(between, within, *, num=4000, samples=2):
    """Means mu_ns = between * image + within * draw, for three units each."""
    image = RNG.normal(size=(num, 1, 3))
    return between * image + within * RNG.normal(size=(num, samples, 3))


def test_what_varies_within_an_image_alone_is_not_active():
    noise = draws(0.0, 0.5)  # the variance of its mean of two draws is 0.125, far above 0.01
    found = latents.active_units([noise])
    assert (found["active"], found["total"]) == (0, 3)
    assert latents.active_units([noise[:, :1]])["active"] == 3  # one draw cannot tell


def test_what_varies_between_images_is_active_however_it_is_batched():
    means = np.concatenate([draws(0.15, 0.5), draws(0.0, 0.5), draws(0.05, 0.0)], axis=2)
    whole = latents.active_units([means])
    parts = latents.active_units(np.array_split(means, 7))
    assert whole["active"] == parts["active"] == 3
    np.testing.assert_array_equal(whole["is_active"], [True] * 3 + [False] * 6)
    np.testing.assert_array_equal(whole["is_active"], parts["is_active"])
    assert whole["share"] == 3 / 9


def test_one_image_says_nothing():
    assert latents.active_units([draws(1.0, 0.0, num=1)])["active"] == 0
