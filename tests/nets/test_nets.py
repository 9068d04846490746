"""Networks whose exact form matters: transposed convolutions, running statistics, sizes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp import build, config, dists, draws, nets
from vdp.errors import UserError
from vdp.nets import stateful as running
from vdp.nets.bottleneck import upsample
from vdp.nets.conv import TransposedConv


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(14, 10), (7, 9), (7, 5), (20, 3)])
def test_maps_are_interpolated_as_images_are(size, dtype):
    x = draws.normal(jax.random.key(0), (2, 7, 5, 3)).astype(dtype)
    expected = jax.jit(lambda x: jax.image.resize(x, (2, *size, 3), "bilinear"))(x)
    found = jax.jit(lambda x: upsample(x, size))(x)
    assert found.dtype == expected.dtype
    found, expected = (np.asarray(maps, np.float32) for maps in (found, expected))
    rounding = 1e-6 if dtype == "float32" else 0.02
    np.testing.assert_allclose(found, expected, atol=rounding)


def test_doubling_is_the_transposed_convolution():
    """Kernel [4, 4] of stride 2, padding 1 (DCGAN): its taps regrouped by output parity."""
    x = draws.normal(jax.random.key(0), (2, 5, 4, 6))
    net = TransposedConv(3)
    params = started(net, jax.random.key(1), x)
    kernel = params["params"]["Dense_0"]["kernel"]  # [2, 2, 6, (row, column) of the square, 3]
    taps = np.zeros((4, 4, 6, 3), np.float32)
    grouped = np.asarray(kernel).reshape(2, 2, 6, 2, 2, 3)
    for i in range(2):
        for j in range(2):
            # a square between four inputs begins at an odd output row, which taps 1 and 3 feed
            taps[1 - i :: 2, 1 - j :: 2] = grouped[:, :, :, i, j]
    found = net.apply(params, x)
    expected = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(taps),
        window_strides=(1, 1),
        padding=((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert found.shape == (2, 10, 8, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_dcgan_takes_images_of_any_size(size):
    encoder = nets.DCGANEncoder(channels=(4, 8, 8))
    decoder = nets.DCGANDecoder(channels=(8, 8, 4))
    x, z = jnp.zeros((2, size, size, 3)), jnp.zeros((2, 5))

    def both():
        e, e_stats = running.init(encoder, jax.random.key(0), x, (2, 5))
        d, d_stats = running.init(decoder, jax.random.key(0), z, (size, size, 3))
        moments, _ = running.apply(encoder, e, e_stats, x, (2, 5))
        return moments, running.apply(decoder, d, d_stats, z, (size, size, 3))[0]

    moments, images = jax.eval_shape(both)
    assert moments.shape == (2, 2, 5)
    assert images.shape == (2, size, size, 3)


@pytest.mark.parametrize(("output", "reaches"), [("tanh", False), ("linear", True)])
def test_a_dcgan_decoder_of_discretised_pixels_reaches_beyond_the_edges(output, reaches):
    """Where a location can be no less than -1, a wide scale leaves a black bin half the mass."""
    decoder = nets.DCGANDecoder(channels=(8, 4), output=output)
    z = draws.normal(jax.random.key(0), (16, 5))
    params, stats = running.init(decoder, jax.random.key(1), z, (8, 8, 1))
    params["TransposedConv_1"] = jax.tree.map(lambda leaf: 50 * leaf, params["TransposedConv_1"])
    locations, _ = running.apply(decoder, params, stats, z, (8, 8, 1))
    black = dists.discretized_logistic_log_prob(
        np.zeros_like(locations), locations, np.full(locations.shape, -4.0), 256
    )
    assert (locations.min() < -1.1) == reaches
    assert (black.max() > np.log(0.6)) == reaches


def test_running_statistics_follow_the_batches():
    net = nets.DCGANEncoder(channels=(4, 8))
    x = 3.0 + draws.normal(jax.random.key(0), (64, 8, 8, 1))
    params, stats = running.init(net, jax.random.key(1), x, (2,))
    step = jax.jit(lambda stats: running.apply(net, params, stats, x, (2,), train=True)[1])
    for _ in range(80):
        batch, stats = step(stats)
    h = nn.leaky_relu(nn.Conv(4, (4, 4), (2, 2)).apply({"params": params["Conv_0"]}, x), 0.2)
    h = nn.Conv(8, (4, 4), (2, 2), use_bias=False).apply({"params": params["Conv_1"]}, h)
    np.testing.assert_allclose(batch["BatchNorm_0"]["mean"], h.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(stats["BatchNorm_0"]["mean"], h.mean((0, 1, 2)), rtol=1e-2)
    np.testing.assert_allclose(stats["BatchNorm_0"]["var"], h.var((0, 1, 2)), rtol=1e-2)


@pytest.mark.parametrize(
    ("fields", "channels", "size", "count"),
    [((16, 2), 1, 7, 47_329), ((32, 3), 1, 5, 239_137), ((32, 3), 3, 7, 240_291)],
)
def test_unet_has_the_published_sizes(fields, channels, size, count):
    """The denoisers of the published DVP-VAE, to the digit."""
    net = nets.UNetDenoiser(width=fields[0], depth=fields[1])
    y = jnp.zeros((1, size, size, channels))
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), y, jnp.zeros(1)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_unet_starts_at_zero_and_sees_time():
    net = nets.UNetDenoiser(width=16, depth=1)
    y, time = draws.normal(jax.random.key(0), (2, 4, 4, 1)), jnp.array([10.0, 900.0])
    params = started(net, jax.random.key(1), y, time)
    assert not net.apply(params, y, time).any()
    params = moved(params)
    there, later = (net.apply(params, y, t) for t in (time, time[::-1]))
    assert jnp.abs(there - later).max() > 1e-3


@pytest.mark.slow
def test_time_may_be_a_shift_that_starts_at_zero():
    """VDM's block: a bias-free layer of the time is added between the convolutions."""
    net = nets.UNetDenoiser(width=8, depth=1, time_width=32, time_as="shift", groups=4)
    y, time = draws.normal(jax.random.key(0), (2, 4, 4, 1)), jnp.array([10.0, 900.0])
    params = started(net, jax.random.key(1), y, time)["params"]
    assert params["Dense_0"]["kernel"].shape == (8, 32)
    assert params["Dense_1"]["kernel"].shape == (32, 32)
    block = params["TimeResBlock_0"]
    assert block["Dense_0"].keys() == {"kernel"}
    assert not block["Dense_0"]["kernel"].any()
    block["Dense_0"]["kernel"] = draws.normal(jax.random.key(2), (32, 8))
    block["Conv_1"]["kernel"] = params["TimeResBlock_1"]["Conv_1"]["kernel"] + 0.1
    params["Conv_1"]["kernel"] += 0.1
    there, later = (net.apply({"params": params}, y, t) for t in (time, time[::-1]))
    assert jnp.abs(there - later).max() > 1e-3
    with pytest.raises(ValueError, match="time_as"):
        nets.UNetDenoiser(time_as="bias").init(jax.random.key(1), y, time)


def test_the_published_denoiser_starts_as_its_program_does():
    """Kernels and biases in U(+-1/sqrt(fan_in)), but for what starts at zero."""
    net = nets.UNetDenoiser(width=16, depth=1, published=True)
    params = started(net, jax.random.key(0), jnp.zeros((1, 7, 7, 1)), jnp.zeros(1))["params"]
    for layer, fan_in in (("Conv_0", 9), ("Dense_0", 16)):
        for leaf in params[layer].values():
            assert 0.5 * fan_in**-0.5 < jnp.abs(leaf).max() <= fan_in**-0.5
    assert not any(leaf.any() for leaf in jax.tree.leaves(params["Conv_1"]))
    assert not params["TimeResBlock_0"]["Conv_1"]["kernel"].any()


def test_ddpm_for_cifar10_has_the_published_size():
    """35.7 million parameters (Ho et al. 2020, appendix B)."""
    fields = config.load("cifar10_ddpm").model.prior.denoiser.to_dict()
    net = getattr(nets, fields.pop("name"))(**fields)
    y = jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), y, jnp.zeros(1)))
    assert round(sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6, 1) == 35.7


def test_a_unet_refuses_a_map_of_one_number():
    """Its normalisation of groups of a number each would leave their biases alone."""
    net, time = nets.UNetDenoiser(width=16, depth=1, multipliers=(1,)), jnp.zeros(2)
    with pytest.raises(UserError, match="1x1: MLPDenoiser"):
        net.init(jax.random.key(0), jnp.zeros((2, 1, 1, 3)), time)
    net.init(jax.random.key(0), jnp.zeros((2, 2, 1, 3)), time)


def test_a_time_becomes_two_numbers_at_least():
    with pytest.raises(UserError, match="embedding"):
        build.build("denoiser", {"name": "MLPDenoiser", "embedding": 1})
