"""The laws every pseudo-input keeps; a new file in vdp/pseudoinputs is found by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from vdp import build, components, draws
from vdp.pseudoinputs import dct

SPECS = {
    "dct": {"name": "dct"},
    "downsample": {"name": "downsample"},
    "downsample-published": {"name": "downsample", "antialias": False},
    "linear": {"name": "linear"},
}
SHAPES = [(12, 8, 3), (8, 8, 1), (7, 11, 2)]


def make(name, **fields):
    return build.build("pseudoinput", SPECS[name] | fields, input_levels=256)


def levels(shape, num=6, seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, (num, *shape), np.uint8)


def unit(data):
    return (data / 255).astype(np.float32)


def coefficients(images, size):
    """By scipy in float64, cropped."""
    found = scipy.fft.dctn(np.asarray(images, np.float64), axes=(1, 2), norm="ortho")
    return found[:, :size, :size]


def test_every_pseudo_input_is_under_these_laws():
    assert {spec["name"] for spec in SPECS.values()} == set(components.accepted("pseudoinput"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("name", SPECS)
def test_shapes_and_jit(name, size, shape):
    code = make(name, size=size)
    assert code.shape(shape) == (size, size, shape[2])
    key, data = jax.random.key(0), levels(shape)
    params, stats = code.init(key, shape, data=data)
    images = unit(data[:4])
    u = code.apply(params, stats, images)
    back = code.back(params, stats, u, shape)
    share = code.clipped(params, stats, images)
    assert u.shape == (4, size, size, shape[2])
    assert back.shape == images.shape
    assert share.shape == (4,)
    leaves = jax.tree.leaves((params, stats, u, back, share))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(share, 0.0)  # these images are in the training set

    jitted = jax.jit(lambda key, data: code.init(key, shape, data=data))(key, data)
    inside = jax.jit(code.apply)(*jitted, images)
    there_and_back = jax.jit(lambda u: code.back(*jitted, u, shape))(inside)
    for found, expected in ((jitted, (params, stats)), (inside, u), (there_and_back, back)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)
    assert not np.any(jax.jit(code.clipped)(*jitted, images))
    without = jax.eval_shape(lambda: code.init(key, shape))
    assert jax.tree.map(jnp.shape, without) == jax.tree.map(jnp.shape, (params, stats))


@pytest.mark.parametrize("name", SPECS)
def test_sizes_beyond_the_image_are_refused(name):
    code = make(name, size=9)
    with pytest.raises(ValueError, match=r"between 1 and 8 .* 12 x 8, not 9"):
        code.shape((12, 8, 3))
    with pytest.raises(ValueError, match="between 1 and 8"):
        code.init(jax.random.key(0), (12, 8, 3))


@pytest.mark.parametrize("name", ["dct", "downsample", "downsample-published"])
def test_channels_do_not_mix(name):
    code, data = make(name), levels((12, 8, 3))
    params, stats = code.init(jax.random.key(0), (12, 8, 3), data=data)
    u = code.apply(params, stats, unit(data))
    for c in range(3):
        one = data[..., c : c + 1]
        _, stats = code.init(jax.random.key(0), one.shape[1:], data=one)
        np.testing.assert_allclose(
            u[..., c : c + 1], code.apply({}, stats, unit(one)), atol=2e-6, rtol=1e-5
        )


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (12, 8, 3)], ids=str)
def test_dct_is_the_orthonormal_transform_and_its_inverse(shape):
    code, images = make("dct"), unit(levels(shape))
    scale = np.random.default_rng(1).uniform(20, 40, (7, 7, shape[2])).astype(np.float32)
    u = code.apply({}, {"scale": scale}, images)
    np.testing.assert_allclose(u, coefficients(images, 7) / scale, atol=1e-6)

    padded = np.zeros((len(u), *shape))
    padded[:, :7, :7] = np.asarray(u, np.float64) * scale
    inverse = np.clip(scipy.fft.idctn(padded, axes=(1, 2), norm="ortho"), 0, 1)
    found = code.back({}, {"scale": scale}, u, shape)
    np.testing.assert_allclose(found, 2 * inverse - 1, atol=5e-6)


def test_dct_back_stays_in_the_images_range():
    code = make("dct")
    u = 2 * draws.uniform(jax.random.key(0), (4, 7, 7, 1)) - 1
    back = code.back({}, {"scale": jnp.full((7, 7, 1), 30.0)}, u, (8, 8, 1))
    assert back.min() == -1
    assert back.max() == 1


def test_dct_frequencies_are_vertical_then_horizontal():
    rows = np.cos(np.pi * 2 * (np.arange(12) + 0.5) / 12)[None, :, None, None]
    images = np.broadcast_to(0.5 + 0.5 * rows, (1, 12, 8, 1))
    u = make("dct").apply({}, {"scale": jnp.full((7, 7, 1), 100.0)}, images)[0, ..., 0]
    assert {tuple(index) for index in np.argwhere(np.abs(u) > 1e-5).tolist()} == {(0, 0), (2, 0)}


@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 32, 1)], ids=str)
def test_all_frequencies_give_the_image_back(shape):
    code, data = make("dct", size=shape[0]), levels(shape)
    _, stats = code.init(jax.random.key(0), shape, data=data)
    u = code.apply({}, stats, unit(data))
    np.testing.assert_allclose(np.abs(u).max(0), 1.0, rtol=1e-4)  # each largest is attained
    np.testing.assert_allclose(code.back({}, stats, u, shape), 2 * unit(data) - 1, atol=1e-5)


@pytest.mark.parametrize("num", [1, 3, 4, 8, 10])
def test_scale_is_the_largest_coefficient_of_all_the_data(num, monkeypatch):
    monkeypatch.setattr(dct, "CHUNK", 4)
    shape = (12, 8, 3)
    code = make("dct", size=5)
    init = jax.jit(lambda data: code.init(jax.random.key(0), shape, data=data))
    for place in range(num):
        data = levels(shape, num, top=100)
        data[place] = levels(shape, 1, seed=1)[0]  # the largest may lie in any chunk
        _, stats = init(data)
        expected = np.abs(coefficients(data / 255, 5)).max(0)
        np.testing.assert_allclose(stats["scale"], expected, rtol=1e-5, atol=1e-5)


def test_scale_uses_the_levels_of_the_data_and_is_one_for_frequencies_that_are_absent():
    shape = (32, 28, 1)
    data = np.full((3, *shape), 3, np.uint8)  # 0.6: sums to zero only but for rounding
    code = build.build("pseudoinput", SPECS["dct"], input_levels=6)
    _, stats = code.init(jax.random.key(0), shape, data=data)
    expected = np.ones((7, 7, 1))
    expected[0, 0] = 0.6 * np.sqrt(32 * 28)
    np.testing.assert_allclose(stats["scale"], expected, rtol=1e-6)
    np.testing.assert_allclose(code.apply({}, stats, data / 5)[:, 1:], 0.0, atol=1e-5)


def test_coefficients_beyond_the_training_sets_are_clipped_and_counted():
    shape = (8, 12, 3)
    code, data = make("dct", size=5), levels(shape, top=100)
    _, stats = code.init(jax.random.key(0), shape, data=data)
    scale = np.abs(coefficients(data / 255, 5)).max(0)
    others = unit(levels(shape, seed=1))
    ratio = coefficients(others, 5) / scale
    beyond = np.abs(ratio) > 1
    assert np.min(np.abs(np.abs(ratio) - 1)) > 1e-4  # none so near that rounding decides
    assert 0 < beyond.mean() < 1
    np.testing.assert_allclose(code.clipped({}, stats, others), beyond.mean((1, 2, 3)), rtol=1e-6)
    found = code.apply({}, stats, others)
    np.testing.assert_allclose(found, np.clip(ratio, -1, 1), atol=1e-4)
    assert np.all(np.abs(found[beyond]) == 1)


def bilinear(images, height, width):
    """Between half-pixel centres with clamped edges, pixel by pixel: torch's `interpolate`."""
    _, old_height, old_width, _ = images.shape
    found = np.zeros((len(images), height, width, images.shape[3]))
    for i in range(height):
        for j in range(width):
            y = max((i + 0.5) * old_height / height - 0.5, 0)
            x = max((j + 0.5) * old_width / width - 0.5, 0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            below, after = y - top, x - left
            upper = (1 - after) * images[:, top, left] + after * images[:, top, right]
            lower = (1 - after) * images[:, bottom, left] + after * images[:, bottom, right]
            found[:, i, j] = (1 - below) * upper + below * lower
    return found


def triangles(images, size):
    """Every pixel weighed by a triangle as wide as the step of the result, one axis at a time."""
    for axis in (1, 2):
        length = images.shape[axis]
        step = length / size
        distance = (np.arange(size)[:, None] + 0.5) * step - (np.arange(length) + 0.5)
        weights = np.maximum(1 - np.abs(distance) / step, 0)
        weights /= weights.sum(1, keepdims=True)
        images = np.moveaxis(np.tensordot(weights, images, (1, axis)), 0, axis)
    return images


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (12, 8, 2), (7, 15, 1)], ids=str)
def test_downsample_is_bilinear(shape):
    x = 2 * unit(levels(shape)) - 1.0
    published, smooth = make("downsample-published"), make("downsample")
    u = published.apply({}, {}, unit(levels(shape)))
    np.testing.assert_allclose(u, bilinear(x, 7, 7), atol=1e-5)
    np.testing.assert_allclose(
        smooth.apply({}, {}, unit(levels(shape))), triangles(x, 7), atol=1e-5
    )


@pytest.mark.parametrize("name", ["downsample", "downsample-published", "linear"])
def test_back_is_bilinear_and_leaves_values_as_they_are(name):
    code = make(name)
    u = 5 * np.random.default_rng(0).standard_normal((2, 7, 7, 3)).astype(np.float32)
    for shape in [(32, 32, 3), (12, 8, 3), (7, 7, 3)]:
        found = code.back({}, {}, u, shape)
        np.testing.assert_allclose(found, bilinear(u, *shape[:2]), atol=1e-4)
        assert np.abs(found).max() > 5


def test_linear_is_the_product_with_its_kernel():
    shape = (12, 8, 3)
    code, images = make("linear", size=2), unit(levels(shape))
    params, stats = code.init(jax.random.key(0), shape)
    assert params["kernel"].shape == (12 * 8 * 3, 2 * 2 * 3)
    assert params["bias"].shape == (12,)
    flat = (2 * images - 1.0).reshape(6, -1)
    expected = flat @ np.float64(params["kernel"]) + np.float64(params["bias"])
    u = code.apply(params, stats, images)
    np.testing.assert_allclose(u, expected.reshape(6, 2, 2, 3), atol=1e-5)


def test_linear_starts_uniform_and_learns():
    shape = (8, 8, 3)
    code, images = make("linear"), unit(levels(shape))
    params, stats = code.init(jax.random.key(0), shape)
    bound = 192**-0.5
    for leaf in (params["kernel"], params["bias"]):
        values = np.asarray(leaf).ravel()
        assert np.abs(values).max() <= bound
        error = bound * np.sqrt(1 / 3 / values.size)
        assert abs(values.mean()) < 4 * error
        np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.1)
    assert np.abs(params["kernel"]).max() > 0.99 * bound
    assert np.isin(params["bias"], params["kernel"]).mean() < 0.1  # drawn apart

    def loss(params):
        u = code.apply(params, stats, images)
        return jnp.square(code.back(params, stats, u, shape) - images).mean()

    gradient = jax.grad(loss)(params)
    assert all(jnp.all(jnp.any(leaf != 0, axis=0)) for leaf in jax.tree.leaves(gradient))
