"""The logistic mixture on RGB pixels, against its definition written out in float64 loops."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from vdp import build, dists, draws
from vdp.errors import UserError


def make(levels, num_components=3):
    spec = {"name": "logistic_mixture", "num_components": num_components}
    return build.build("likelihood", spec, levels=levels)


def every_pixel(levels, channels=3):
    """Every pixel value as an image of its own, uint8 [levels^C, 1, 1, C]."""
    values = list(itertools.product(range(levels), repeat=channels))
    return jnp.array(values, jnp.uint8)[:, None, None]


compiled = functools.cache(jax.jit)  # one program, not one for each operation


def masses(likelihood, pixel):
    """The mass of every pixel value under one outputs vector, in the order of `every_pixel`."""
    images = every_pixel(likelihood.levels, 3 if len(pixel) % 10 == 0 else 1)
    outputs = jnp.broadcast_to(jnp.asarray(pixel, jnp.float32), (len(images), 1, 1, len(pixel)))
    return np.exp(compiled(likelihood.log_prob)(outputs, images))


def reference_log_prob(pixel, x, levels, num_k):
    """Log p of one pixel x [C] given its outputs vector, from the definition."""
    pixel, num_c = np.asarray(pixel, np.float64), len(x)
    num_parts = 3 if num_c == 3 else 2

    def raw(c, part, k):
        return pixel[num_k + (c * num_parts + part) * num_k + k]

    value = [2 * int(level) / (levels - 1) - 1 for level in x]
    total, half = 0.0, 1 / (levels - 1)
    for k in range(num_k):
        mass = np.exp(pixel[k]) / np.exp(pixel[:num_k]).sum()
        for c in range(num_c):
            m = raw(c, 0, k)
            if c == 1:
                m += np.tanh(raw(0, 2, k)) * value[0]
            if c == 2:
                m += np.tanh(raw(1, 2, k)) * value[0] + np.tanh(raw(2, 2, k)) * value[1]
            scale = np.exp(min(max(raw(c, 1, k), -8), 1))
            above = 1 if x[c] == levels - 1 else special.expit((value[c] + half - m) / scale)
            below = 0 if x[c] == 0 else special.expit((value[c] - half - m) / scale)
            mass *= above - below
        total += mass
    return np.log(total)


@pytest.mark.parametrize("levels", [2, 4, 5])
def test_masses_over_all_rgb_pixels_sum_to_one(levels):
    likelihood = make(levels)
    for seed in range(5):
        pixel = 2 * jax.random.normal(jax.random.key(seed), (30,))
        np.testing.assert_allclose(masses(likelihood, pixel).sum(), 1.0, rtol=2e-5)


@pytest.mark.parametrize(("levels", "channels"), [(4, 3), (256, 3), (7, 1), (256, 1)])
def test_log_prob_is_the_definition(levels, channels):
    likelihood, shape = make(levels), (4, 3, 2)
    outputs = draws.normal(jax.random.key(0), (*shape, likelihood.num_outputs(channels)))
    target = jax.random.randint(jax.random.key(1), (*shape, channels), 0, levels)
    target = target.at[0, 0].set(0).at[0, 1].set(levels - 1).astype(jnp.uint8)
    expected = [
        sum(
            reference_log_prob(image[i], target[b][i], levels, 3)
            for i in itertools.product(*map(range, shape[1:]))
        )
        for b, image in enumerate(np.asarray(outputs))
    ]
    found = compiled(likelihood.log_prob)(outputs, target)
    np.testing.assert_allclose(found, expected, rtol=3e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_draws_have_the_frequencies_of_log_prob(channels):
    """Three levels, two components with couplings of opposite sign, locations beyond the edges."""
    likelihood, num_draws = make(3, num_components=2), 200_000
    pixel = {
        1: jnp.array([0.3, -0.3, -0.9, 0.4, -1.0, -2.0]),
        3: jnp.array([0.4, -0.4]
                     + [-0.6, 0.7, -0.3, -1.2, 2.0, -1.5]
                     + [0.3, -0.2, -1.2, -0.5, -2.0, 0.6]
                     + [0.5, 0.2, -1.0, -1.5, -1.0, 2.5]),
    }[channels]  # fmt: skip
    outputs = jnp.broadcast_to(pixel, (1, 1, num_draws, len(pixel)))
    drawn = np.asarray(compiled(likelihood.sample)(outputs, jax.random.key(0)))[0, 0]
    assert drawn.dtype == np.uint8
    index = np.ravel_multi_index(tuple(drawn.T.astype(int)), (3,) * channels)
    p = masses(likelihood, pixel).astype(np.float64)
    counts, expected = np.bincount(index, minlength=len(p)), num_draws * p / p.sum()
    assert expected.min() > 5
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    assert np.all(np.abs(counts - expected) < 4.5 * np.sqrt(expected))


def test_pixels_of_a_draw_are_independent():
    outputs = jnp.zeros((1, 1, 2, 10)).at[..., 2:].set(-1.0)
    draw = make(4, num_components=1).sample
    keys = jax.random.split(jax.random.key(0), 4000)
    left, right = np.moveaxis(jax.vmap(lambda key: draw(outputs, key)[0, 0])(keys), 1, 0)
    for a, b in itertools.product(left.T, right.T):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4000)


def test_the_mean_of_rgb_chains_through_the_coupling():
    """Away from the edges, with scales of several bins, it is the mean of draws."""
    likelihood, num_draws = make(256, num_components=2), 100_000
    pixel = jnp.array([0.5, -0.5]
                      + [-0.3, 0.4, -3.5, -4.0, 1.0, -1.5]
                      + [0.3, -0.2, -4.0, -3.5, -2.0, 0.6]
                      + [0.1, 0.2, -3.0, -3.5, -0.4, -0.8])  # fmt: skip
    outputs = jnp.broadcast_to(pixel, (1, 1, num_draws, 20))
    scaled = np.asarray(compiled(likelihood.sample)(outputs, jax.random.key(0)))[0, 0] / 255
    mean_of = compiled(likelihood.mean)
    mean = mean_of(outputs[:, :, :1])
    assert mean.shape == (1, 1, 1, 3)
    error = scaled.std(0) / np.sqrt(num_draws)
    assert np.all(np.abs(scaled.mean(0) - mean[0, 0, 0]) < 4 * error)
    far = np.asarray(mean_of(100 * outputs[:, :, :1]))
    assert np.all((far >= 0) & (far <= 1))


@pytest.mark.parametrize(
    ("levels", "dtype"), [(2, "bfloat16"), (256, "bfloat16"), (256, "float32")]
)
def test_extremes_of_rgb_stay_finite(levels, dtype):
    likelihood = make(levels, num_components=10)
    signs = draws.signs(jax.random.key(0), (3, 8, 8, 100))
    target = jax.random.randint(jax.random.key(1), (3, 8, 8, 3), 0, levels)
    target = target.at[0].set(0).at[1].set(levels - 1).astype(jnp.uint8)

    @jax.jit
    @jax.value_and_grad
    def total(outputs):
        return likelihood.log_prob(outputs.astype(dtype), target).sum()

    for outputs in (1e3 * signs, jnp.full_like(signs, 1e3), jnp.full_like(signs, -1e3)):
        value, gradient = total(outputs)
        assert value.dtype == jnp.float32
        assert jnp.isfinite(value)
        assert jnp.all(jnp.isfinite(gradient))


def test_all_sums_are_in_float32():
    likelihood = make(256)
    outputs = draws.normal(jax.random.key(0), (2, 4, 4, 30)).astype(jnp.bfloat16)
    target = jax.random.randint(jax.random.key(1), (2, 4, 4, 3), 0, 256).astype(jnp.uint8)
    same = outputs.astype(jnp.float32)
    log_prob, mean = compiled(likelihood.log_prob), compiled(likelihood.mean)
    np.testing.assert_array_equal(log_prob(outputs, target), log_prob(same, target))
    np.testing.assert_array_equal(mean(outputs), mean(same))


@pytest.mark.parametrize(("index", "source", "changed"), [(3, 0, 1), (6, 0, 2), (9, 1, 2)])
def test_each_coefficient_changes_one_channel(index, source, changed):
    """One component: [logit | mean, log-scale, coefficient of red, of green, of blue]."""
    likelihood, levels = make(4, num_components=1), 4
    plain = jnp.zeros(10).at[jnp.array([1, 4, 7])].set(jnp.array([-0.2, 0.1, 0.3]))
    plain = plain.at[jnp.array([2, 5, 8])].set(jnp.array([-1.0, -0.5, -0.8]))
    x = every_pixel(levels)[:, 0, 0]
    expected = 0.0
    for c, (mean, log_scale) in enumerate([(-0.2, -1.0), (0.1, -0.5), (0.3, -0.8)]):
        shift = np.tanh(0.7) * (2 * x[:, source] / 3 - 1) if c == changed else 0.0
        expected += dists.discretized_logistic_log_prob(x[:, c], mean + shift, log_scale, levels)
    p = masses(likelihood, plain.at[index].set(0.7))
    np.testing.assert_allclose(np.log(p), expected, rtol=1e-5)
    axes = dict(axis=changed)  # the channels other than the changed one keep their joint masses
    p, before = p.reshape(4, 4, 4), masses(likelihood, plain).reshape(4, 4, 4)
    np.testing.assert_allclose(p.sum(**axes), before.sum(**axes), rtol=1e-4)
    assert np.abs(p - before).max() > 0.01


@pytest.mark.parametrize(("limit", "beyond", "inside"), [(-8.0, -20.0, -7.9), (1.0, 9.0, 0.9)])
def test_log_scales_are_clamped(limit, beyond, inside):
    likelihood = make(256, num_components=1)
    target = jnp.full((1, 1, 1, 3), 100, jnp.uint8)

    def at(log_scale):
        mean = 2 * 100.5 / 255 - 1 + 3e-4  # just beyond the bin's upper edge
        outputs = jnp.array([0, *[mean, log_scale, 0] * 3])[None, None, None]
        return float(compiled(likelihood.log_prob)(outputs, target)[0])

    assert at(beyond) == at(limit)
    assert abs(at(inside) - at(limit)) > 0.1


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match="1 or 3 channels, these have 2"):
        make(256).num_features(2)
    with pytest.raises(ValueError, match=r"\[9, 30\] channels, these have 20"):
        make(256).mean(jnp.zeros((1, 1, 1, 20)))
    with pytest.raises(UserError, match="at least 2 levels"):
        make(1)
    with pytest.raises(UserError, match="num_components must be at least 1"):
        make(256, num_components=0)
