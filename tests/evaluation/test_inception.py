"""Inception pool features: the architecture, its reading from a file, its pools and its resize."""

import hashlib
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import features as named
from vdp.evaluation import inception
from vdp.settings import Data, Eval, Settings

FIRST = "Conv2d_1a_3x3.conv.weight"
IMAGES = np.random.default_rng(1).random((2, 20, 24, 3)).astype(np.float32)
# pytorch-fid 0.3.0 with random_state() in the place of its weights, torch 2.13: every 293rd
# feature and the mean of all
TORCH = [
    [1.768467, 22.95301, 0.03970278, 0.01929994, 1.788920, 0.1531601, 1.971125],
    [1.679350, 22.90636, 0.01676663, 0.01353240, 1.671812, 0.1359403, 1.890727],
]
TORCH_MEAN = [4.686553, 4.634752]
POOL = jax.jit(inception.pool_features)


def random_state():
    """Torch names and shapes, with activations that neither vanish nor explode."""
    rng, state = np.random.default_rng(0), {}
    for name, shape in sorted(inception.parameter_shapes().items()):
        values = rng.random(shape, dtype=np.float32)
        if len(shape) == 4:
            state[name] = (2 * values - 1) * np.float32(math.sqrt(6 / math.prod(shape[1:])))
        elif name.endswith(("bn.bias", "running_mean")):
            state[name] = values - np.float32(0.5)
        else:
            state[name] = values + np.float32(0.5)
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "random.npz"
    ignored = {"fc.weight": np.zeros(3), "Conv2d_1a_3x3.bn.num_batches_tracked": np.int64(7)}
    np.savez(path, **random_state(), **ignored)
    loaded = inception.load_weights(path)
    path.unlink()  # pytest keeps the folders of three runs and this is 90 MB
    return loaded


@pytest.fixture(scope="module")
def features(weights):
    return np.asarray(POOL(weights, IMAGES))


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "some.npz", **arrays)
        return tmp_path / "some.npz"

    return write


def refusal(path):
    with pytest.raises(UserError) as caught:
        inception.load_weights(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parameter_count_and_names():
    shapes = inception.parameter_shapes()
    trained = {k: v for k, v in shapes.items() if "running" not in k}
    # torchvision's Inception3 without the auxiliary and the last layer
    assert sum(map(math.prod, trained.values())) == 21_785_568
    assert sum(name.endswith(".conv.weight") for name in shapes) == 94
    assert shapes[FIRST] == (32, 3, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7c.branch_pool.bn.running_var"] == (192,)


def test_features_are_those_of_the_torch_network(features):
    assert features.shape == (2, 2048)
    assert features.dtype == np.float32
    assert np.all(np.isfinite(features))
    np.testing.assert_allclose(features[:, ::293], TORCH, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(features.mean(1), TORCH_MEAN, rtol=1e-5)


@pytest.mark.slow
def test_without_jit(weights, features):
    plain = inception.pool_features(weights, IMAGES)
    np.testing.assert_allclose(plain, features, rtol=1e-4, atol=1e-4)


def test_one_channel_counts_as_three_equal_ones(weights):
    grey = IMAGES[:, :, :, :1]
    found, expected = (POOL(weights, x) for x in (grey, np.repeat(grey, 3, axis=-1)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_other_images_are_refused(weights):
    with pytest.raises(UserError, match="float images"):
        inception.pool_features(weights, jnp.zeros((1, 8, 8, 3), jnp.uint8))
    with pytest.raises(UserError, match="3 or 1"):
        inception.pool_features(weights, jnp.zeros((1, 8, 8, 4)))


def test_missing_and_misshapen_arrays_are_named(save):
    assert f"lacks {FIRST}" in refusal(save(other=np.zeros(3)))
    path = save(**{FIRST: np.zeros((32, 3, 3, 3))})
    assert "lacks Conv2d_1a_3x3.bn.weight" in refusal(path)
    message = refusal(save(**{FIRST: np.zeros((3, 3, 3, 32))}))
    assert FIRST in message
    assert "(3, 3, 3, 32)" in message
    assert "(32, 3, 3, 3)" in message


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "some.npz").write_bytes(content)
    assert "cannot be read as an .npz" in refusal(tmp_path / "some.npz")


def test_a_single_array_and_no_file_are_refused(tmp_path):
    with (tmp_path / "some.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "cannot be read as an .npz" in refusal(tmp_path / "some.npz")
    assert "there is no" in refusal(tmp_path / "none.npz")
    with pytest.raises(UserError, match="there is no"):
        inception.checksum(tmp_path / "none.npz")


def test_torch_files_without_torch_come_with_the_conversion(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "some.pth").write_bytes(b"")
    assert "numpy.savez(" in refusal(tmp_path / "some.pth")


def test_checksum(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert inception.checksum(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_average_pool_leaves_padding_out():
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    # corners over 4 pixels, edges over 6, the centre over 9
    expected = [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    np.testing.assert_allclose(inception.average_pool(x)[0, :, :, 0], expected, rtol=1e-6)


def test_folding_equals_convolution_then_batch_norm():
    rng = np.random.default_rng(2)
    kernel, image = rng.normal(size=(5, 4, 3, 2)), rng.normal(size=(4, 3, 2))
    scale, shift, mean = rng.normal(size=(3, 5))
    variance = 1e-3 * rng.random(5)  # so small that the eps matters
    folded, bias = inception.fold_batch_norm(kernel, scale, shift, mean, variance)
    assert folded.shape == (3, 2, 4, 5)
    plain = (kernel * image).sum((1, 2, 3))  # the one position where the kernel fits
    expected = (plain - mean) / np.sqrt(variance + 0.001) * scale + shift
    found = (folded * image.transpose(1, 2, 0)[..., None]).sum((0, 1, 2)) + bias
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_resize_is_bilinear_between_pixel_centres_without_antialiasing():
    def resized(values, size):
        image = jnp.asarray(values, jnp.float32)
        return inception.resize(image[None, :, None, None], size)[0, :, 0, 0]

    np.testing.assert_allclose(resized([0, 1], 4), [0, 0.25, 0.75, 1], atol=1e-6)
    # 8 to 2 reads between pixels 1, 2 and between 5, 6 and nothing else
    np.testing.assert_allclose(resized([9, 1, 3, 9, 9, 5, 6, 9], 2), [2, 5.5], atol=1e-5)
    assert inception.resize(jnp.zeros((1, 5, 7, 2))).shape == (1, 299, 299, 2)


def test_images_that_inception_cannot_see_are_refused_before_training(tmp_path):
    data = Data(name="synthetic:8x8x4", num_validation=9)
    settings = Settings(data=data, eval=Eval(fid_features=f"inception:{tmp_path / 'w.pth'}"))
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match="these images have 4"):
        named.check(settings, datasets.load(data))
    settings = settings.replace(data=dict(name="synthetic:8x8x3"))
    with pytest.raises(UserError, match=r"w\.pth"):
        named.check(settings, datasets.load(settings.data))
