"""What latents carry: active units, and the information of a flat code against its closed form."""

import numpy as np
import pytest
from scipy import special, stats

from vdp.metrics import latents

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


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_the_information_of_a_gaussian_channel(sigma):
    """Codes x ~ N(0, I) and q(z|x) = N(x, sigma^2 I) have I = D/2 log(1 + 1/sigma^2)."""
    means, log_var = RNG.normal(size=(4000, 2)), np.full((4000, 2), 2 * np.log(sigma))
    exact = np.log1p(sigma**-2)
    found = latents.information(means, log_var, rate=exact + 0.3)
    error = 4 * found["nats"]["se"] + 1e-3  # the bias of N = 4,000 is about exp(I) / 2N
    assert abs(found["nats"]["mean"] - exact) < error
    assert abs(found["aggregate_kl"] - 0.3) < error
    assert not found["saturated"]


def test_the_information_of_codes_whose_widths_differ_by_image():
    """Against the same sum by densities of scipy, at the draws that are made of the seed."""
    mean, log_var = RNG.normal(size=(2, 300, 2))
    drawn = np.random.default_rng(0).standard_normal(mean.shape)
    z = mean + np.exp(log_var / 2) * drawn
    each = stats.norm(mean[None], np.exp(log_var / 2)[None]).logpdf(z[:, None]).sum(-1)
    expected = np.mean(np.diag(each) - special.logsumexp(each, axis=1)) + np.log(300)
    found = latents.information(mean, log_var, rate=9.0, seed=0)
    assert found["nats"]["mean"] == pytest.approx(expected, rel=1e-6)


def test_images_without_a_code_have_no_information_whatever_their_width():
    log_var = np.broadcast_to([-3.0, 0.0, 2.0], (300, 3))
    found = latents.information(np.full((300, 3), 7.0), log_var, rate=1.0)
    np.testing.assert_allclose(found["nats"]["mean"], 0.0, atol=1e-9)
    assert found["collapsed"]


def test_a_code_that_tells_one_image_apart_has_not_collapsed():
    means = np.zeros((300, 1))
    means[7] = 9.0
    found = latents.information(means, np.zeros((300, 1)), rate=0.14)
    assert found["nats"]["mean"] < latents.COLLAPSED
    assert not found["collapsed"]
    one = latents.information(means[:1], np.zeros((1, 1)), rate=0.0)
    assert not one["collapsed"], "nothing can be said of one image"


def test_information_that_the_number_of_images_hides_is_said_to_be_saturated():
    means = RNG.normal(size=(100, 8))
    found = latents.information(means, np.full((100, 8), -12.0), rate=40.0, block=33)
    assert np.log(100) - 1e-3 < found["nats"]["mean"] <= np.log(100)
    assert found["saturated"]
    hidden = latents.information(np.zeros((100, 8)), np.zeros((100, 8)), rate=np.log(100))
    assert hidden["saturated"], "a few images of great information would not show in the mean"
