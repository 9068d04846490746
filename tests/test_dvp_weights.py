"""Weights of the published PyTorch DVP-VAE as a run of ours (benchmarks/peers/dvp_run.py)."""

import jax
import numpy as np
import pytest

from benchmarks.peers import dvp_run
from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.run import weights

CODE = "decoder.decoder_blocks.0."
LATENTS, WIDTH, CHANNELS = 8, 32, 16  # of its MNIST model: the ladder's and the denoiser's


@pytest.fixture(scope="module")
def published():
    """A state dict of its MNIST model: its names and shapes, random values."""
    rng, leaves = np.random.default_rng(0), {}

    def leaf(name, *shape):
        leaves[name] = rng.standard_normal(shape).astype(np.float32)

    def layer(name, out, *rest):
        leaf(f"{name}.weight", out, *rest)
        leaf(f"{name}.bias", out)

    def bottleneck(name, into, out, last, of):
        leaf(f"{name}.beta", 1)
        for i, (a, b, size) in enumerate([(into, WIDTH, 1), (WIDTH, WIDTH, 3), (WIDTH, WIDTH, 3)]):
            layer(f"{name}.net.{i}.net.{of}", b, a, size, size)
        layer(f"{name}.net.3{last}", out, WIDTH, 1, 1)

    def res_block(name, into):
        layer(f"{name}.in_layers.0", into)
        layer(f"{name}.in_layers.2", CHANNELS, into, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * CHANNELS, CHANNELS)
        layer(f"{name}.out_layers.0", CHANNELS)
        layer(f"{name}.out_layers.3", CHANNELS, CHANNELS, 3, 3)
        if into != CHANNELS:
            layer(f"{name}.skip_connection", CHANNELS, into, 1, 1)

    layer("encoder.pre_process.0", WIDTH, 1, 1, 1)
    for scale in range(2):
        for block in range(3):
            name = f"encoder.encoder_blocks.{scale}.{block}"
            bottleneck(name, WIDTH, WIDTH, ".net.1", of=1)
    leaf(f"{CODE}q_logvar", 1, 1, 7, 7)
    leaf(f"{CODE}dct_scale", 1, 1, 7, 7)
    leaf(f"{CODE}dct.basis_function_w", 28, 28)
    for number in range(1, LATENTS + 1):
        name = f"decoder.decoder_blocks.{number}"
        layer(f"{name}.z_up", WIDTH, 1, 1, 1)
        for part, into, out in (("s_to_p", WIDTH + 1, WIDTH + 2), ("s_to_q", WIDTH, 2)):
            bottleneck(f"{name}.{part}", into, out, "", of=0)
            layer(f"{name}.{part}.skip", out, into, 1, 1)
        if number < LATENTS:
            bottleneck(f"{name}.resnet.0", WIDTH, WIDTH, "", of=0)
    layer("decoder.z_to_features", WIDTH, 1, 1, 1)
    layer("decoder.post_process.0", 1, WIDTH, 3, 3)
    for prior in (f"{CODE}ctx_prior", "decoder.z_L_prior"):
        leaf(f"{prior}.noise_schedule.gamma_min", 1, 1)
        layer(f"{prior}.model.time_embed.0", CHANNELS, CHANNELS)
        layer(f"{prior}.model.time_embed.2", CHANNELS, CHANNELS)
        layer(f"{prior}.model.input_blocks.0.0", CHANNELS, 1, 3, 3)
        for name in ("input_blocks.1.0", "input_blocks.2.0", "middle_block.0", "middle_block.2"):
            res_block(f"{prior}.model.{name}", CHANNELS)
        for number in range(3):
            res_block(f"{prior}.model.output_blocks.{number}.0", 2 * CHANNELS)
        layer(f"{prior}.model.middle_block.1.norm", CHANNELS)
        layer(f"{prior}.model.middle_block.1.qkv", 3 * CHANNELS, CHANNELS, 1)
        layer(f"{prior}.model.middle_block.1.proj_out", CHANNELS, CHANNELS, 1)
        layer(f"{prior}.model.out.0", CHANNELS)
        layer(f"{prior}.model.out.2", 1, CHANNELS, 3, 3)
    return leaves


def test_every_leaf_has_its_place(published):
    settings = config.settings("mnist_dvp:reference")
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    wanted = jax.eval_shape(lambda key: model.init(key, facts.shape), jax.random.key(0))
    params, stats = dvp_run.carried(published, settings.model)
    leaves = lambda tree: {name: leaf.shape for name, leaf in weights.leaves(tree).items()}
    assert [leaves(tree) for tree in (params, stats)] == [leaves(tree) for tree in wanted]
    net, denoiser = params["decoder"]["net"], params["prior"]["denoiser"]
    kernel = lambda name: published[f"{name}.weight"].transpose(2, 3, 1, 0)
    theirs, block = f"{CODE}ctx_prior.model", lambda number: denoiser[f"TimeResBlock_{number}"]
    for name, ours in {
        "encoder.encoder_blocks.0.2.net.1.net.1": params["encoder"]["scale_14"]["conv_1"],
        "encoder.encoder_blocks.1.2.net.1.net.1": params["encoder"]["scale_7"]["conv_1"],
        "decoder.decoder_blocks.3.s_to_q.net.2.net.0": net["scale_7"]["s_to_q"]["conv_2"],
        "decoder.decoder_blocks.7.resnet.0.net.3": net["scale_14"]["after"]["conv_3"],
    }.items():
        np.testing.assert_array_equal(ours["kernel"][2], kernel(name))
        np.testing.assert_array_equal(ours["bias"][2], published[f"{name}.bias"])
    for name, ours in {
        "decoder.decoder_blocks.8.s_to_p.skip": net["bottom"]["s_to_p"]["skip"],
        "decoder.post_process.0": net["head"],
        f"{theirs}.input_blocks.2.0.out_layers.3": block(1)["Conv_1"],
        f"{theirs}.middle_block.2.in_layers.2": block(3)["Conv_0"],
        f"{theirs}.output_blocks.1.0.skip_connection": block(5)["Conv_2"],
    }.items():
        np.testing.assert_array_equal(ours["kernel"], kernel(name))
        np.testing.assert_array_equal(ours["bias"], published[f"{name}.bias"])
    time = published[f"{theirs}.time_embed.0.weight"].T
    half = CHANNELS // 2
    swapped = np.concatenate([time[half:], time[:half]])
    np.testing.assert_array_equal(denoiser["Dense_0"]["kernel"], swapped)
    noise = published[f"{CODE}q_logvar"][0, 0]
    np.testing.assert_array_equal(params["decoder"]["noise"][..., 0], noise)
    scale = published[f"{CODE}dct_scale"][0, 0]
    np.testing.assert_array_equal(stats["pseudoinput"]["scale"][..., 0], scale)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("encoder.encoder_blocks.0.0.net.0.gain.weight", "is no module of the published hierarchy"),
        ("decoder.decoder_blocks.9.z_up.weight", "is no module of the published hierarchy"),
        (f"{CODE}ctx_prior.model.input_blocks.1.1.qkv.weight", "is no part of a denoiser"),
        ("encoder.pre_process.0.weight_g", "is no leaf of the published hierarchy"),
    ],
)
def test_other_models_are_refused(published, name, said):
    model = config.settings("mnist_dvp:reference").model
    with pytest.raises(UserError, match=said):
        dvp_run.carried(published | {name: np.zeros((1, 1))}, model)


def test_what_lacks_the_code_is_refused(published):
    model = config.settings("mnist_dvp:reference").model
    less = {name: leaf for name, leaf in published.items() if name != f"{CODE}q_logvar"}
    with pytest.raises(UserError, match="q_logvar is missing"):
        dvp_run.carried(less, model)
