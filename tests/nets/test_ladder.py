"""The ladder's networks: rolled and unrolled, resolutions, gradients, what conditions what."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.nets import bottleneck, ladder
from vdp.types import Batch

SHAPE = (8, 8, 1)


def model_of(*, encoder=(), decoder=(), **fields):
    """A small hierarchy with three latents on two scales."""
    body = {"width": 4, "hidden": 3}
    spec = {
        "name": "hvae",
        "scales": ((4, 2, 1), (2, 1, 1)),
        "encoder": {"name": "LadderEncoder", "blocks": 2, **body, **dict(encoder)},
        "decoder": {"name": "LadderDecoder", "zero": "none", **body, **dict(decoder)},
        "likelihood": {"name": "bernoulli"},
    }
    return build.build("model", spec | fields, levels=2, input_levels=2)


def batch_of(num=3, shape=SHAPE):
    images = jax.random.bernoulli(jax.random.key(9), 0.4, (num, *shape)).astype(jnp.uint8)
    return Batch(target=images, input=images, label=jnp.zeros(num, jnp.int32))


def init(model, shape=SHAPE):
    return started(model, jax.random.key(0), shape)


def elbo(model, params, constants, batch, key, **kw):
    return jax.jit(model.elbo)(params, constants, batch, key, **kw)


CODE = {
    "pseudoinput": {"name": "dct", "size": 3},
    "prior": {
        "name": "vdm",
        "form": "merged",
        "schedule": {"name": "learned_scalar", "gamma_0": -5.0, "gamma_1": 5.0},
        "denoiser": {"name": "UNetDenoiser", "width": 4, "depth": 1},
        "num_steps": 4,
    },
}
VAMP = {"prior": {"name": "vamp", "num_components": 5}}


def test_the_way_up_by_scan_is_that_by_loop():
    """In values and gradients; the whole hierarchy with its way down is among the slow tests."""
    x, scales = jax.random.normal(jax.random.key(0), (2, *SHAPE)), ((4, 1, 1),)

    def value_and_gradient(blocks_by):
        net = ladder.LadderEncoder(width=4, hidden=3, blocks=3, blocks_by=blocks_by)
        params = started(net, jax.random.key(1), x, scales)
        loss = lambda params: (net.apply(params, x, scales, train=True)[0] ** 2).mean()
        return params, jax.jit(jax.value_and_grad(loss))(params)

    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)
    jax.tree.map(close, value_and_gradient("loop"), value_and_gradient("scan"))


@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
def test_scan_and_loop_agree_in_values_gradients_and_parameters(remat):
    found = []
    for blocks_by in ("loop", "scan"):
        extra = {"blocks_by": blocks_by, "remat": remat and blocks_by == "scan"}
        model = model_of(encoder=extra, decoder=extra, scales=((4, 3, 1), (2, 2, 1)), **CODE)
        params, constants = init(model)

        def loss(params, model=model, constants=constants):
            batch, key = batch_of(), jax.random.key(1)
            return model.loss(params, constants, batch, key, step=0, train=True)[0].mean()

        found.append((params, *jax.jit(jax.value_and_grad(loss))(params)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *found)
    assert found[0][0]["decoder"]["net"]["scale_2"]["z_up"]["kernel"].shape == (2, 1, 1, 1, 4)


def test_equal_blocks_start_apart():
    params, _ = init(model_of())
    kernels = params["encoder"]["scale_4"]["conv_1"]["kernel"]
    assert kernels.shape[0] == 2
    assert jnp.abs(kernels[0] - kernels[1]).max() > 0.01


@pytest.mark.parametrize(
    ("output_from", "fields"),
    [
        pytest.param("aggregation", CODE, marks=pytest.mark.slow),
        pytest.param("features", {}, marks=pytest.mark.slow),
        pytest.param("z_1", VAMP, marks=pytest.mark.slow),
    ],
    ids=ladder.OUTPUT_FROM,
)
def test_gradients_reach_every_parameter(output_from, fields):
    model = model_of(decoder={"output_from": output_from, "head_blocks": 1}, **fields)
    params, constants = init(model)

    def loss(params):
        key = jax.random.key(1)
        return model.loss(params, constants, batch_of(), key, step=0, train=True)[0].mean()

    gradients = jax.jit(jax.grad(loss))(jax.tree.map(lambda p: p + 0.01, params))
    silent = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        if not jnp.any(leaf)
    }
    allowed = {"decoder/net/bottom/z_up/kernel", "decoder/net/bottom/z_up/bias"}
    if output_from == "features":
        allowed = set()
    silent -= {name for name in silent if "Attention" in name}  # softmax ignores the keys' bias
    assert silent <= allowed, silent - allowed


def test_the_top_posterior_is_the_first_latents():
    for scales in (((4, 2, 1), (2, 1, 1)), ((2, 1, 1),)):
        model = model_of(scales=scales)
        params, constants = init(model)
        images = batch_of().input
        name = model.latent_names[0]
        whole = jax.jit(model.encode)(params, constants, images)[name]
        alone = jax.jit(model.top_posterior)(params, images.astype(jnp.float32))
        np.testing.assert_allclose(whole.mean, alone.mean, atol=1e-5)
        np.testing.assert_allclose(whole.log_var, alone.log_var, atol=1e-5)


MERGED = CODE | {"prior": CODE["prior"] | {"bound": "discrete"}}
SEPARATE = CODE | {"prior": MERGED["prior"] | {"form": "separate"}}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(VAMP | {"posterior": "precision"}, marks=pytest.mark.slow),
        pytest.param(SEPARATE, marks=pytest.mark.slow),
    ],
    ids=["vamp precision", "separate"],
)
def test_weights_average_to_the_bound_of_the_same_model(fields):
    """Over many draws for one image, in one batch; others are under the laws of models."""
    model, one = model_of(**fields), batch_of(1)
    params, constants = init(model)
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3000, axis=0), one)

    @jax.jit
    def both(params, constants):
        keys = jax.random.split(jax.random.key(1))
        bound = model.elbo(params, constants, copies, keys[0]).value
        return bound, model.log_weight(params, constants, copies, keys[1])

    bound, weight = both(params, constants)
    error = np.hypot(bound.std(), weight.std()) / np.sqrt(len(weight))
    assert abs(bound.mean() - weight.mean()) < 5 * error
    assert weight.std() > 0.1


def test_the_same_draw_of_the_code_serves_decoder_and_prior():
    """Its noise alone decides u: another eps of the diffusion leaves likelihood and KLs alone."""
    model = model_of(**CODE)
    params, constants = init(model)
    noise = model.draw(jax.random.key(1), batch_of())
    first = elbo(model, params, constants, batch_of(), jax.random.key(2), noise=noise)
    diffusion = noise.prior.diffusion.replace(eps=-noise.prior.diffusion.eps)
    other = noise.replace(prior=noise.prior.replace(diffusion=diffusion))
    second = elbo(model, params, constants, batch_of(), jax.random.key(2), noise=other)
    for name in ("likelihood", "z_3", "z_1"):
        np.testing.assert_array_equal(first.parts[name], second.parts[name])
    moved = noise.replace(prior=noise.prior.replace(z=noise.prior.z + 3))
    third = elbo(model, params, constants, batch_of(), jax.random.key(2), noise=moved)
    assert jnp.all(jnp.abs(third.parts["z_1"] - first.parts["z_1"]) > 1e-6)


def test_zero_start_has_no_rate_but_the_codes():
    model = model_of(decoder={"zero": "all"})
    params, constants = init(model)
    terms = elbo(model, params, constants, batch_of(), jax.random.key(1))
    assert all(not jnp.any(terms.parts[name]) for name in model.latent_names)


def test_levels_of_reconstruction():
    """Without any scale from q the image is drawn given u alone; with all of them it is q's own."""
    model = model_of(**CODE)
    params, constants = init(model)
    images, key = batch_of().input, jax.random.key(1)
    again = lambda k: jax.jit(functools.partial(model.reconstruct, num_scales=k))(
        params, constants, images, key
    )
    np.testing.assert_allclose(again(2), again(None), atol=1e-6)
    assert jnp.abs(again(0) - again(1)).max() > 1e-4
    assert jnp.abs(again(1) - again(2)).max() > 1e-4


@pytest.mark.slow
def test_temperatures_scale_the_deviations_of_their_latents():
    model = model_of(**CODE)
    params, constants = init(model)
    u = jnp.zeros((4, 3, 3, 1))
    draw = lambda **kw: jax.jit(
        lambda p, c: model.sample(p, c, jax.random.key(1), 4, x_shape=SHAPE, u=u, **kw)
    )(params, constants)
    np.testing.assert_array_equal(draw(), draw(z_temperature=(1.0,)))
    cold = draw(z_temperature=(0.0,))
    np.testing.assert_allclose(cold, cold[:1].repeat(4, 0), atol=1e-6)
    noise = model.latent_noise(jax.random.key(2), 4, SHAPE)
    scaled = model.tempered(noise, (0.5, 2.0, 3.0))
    np.testing.assert_allclose(scaled[0], 0.5 * noise[0])
    np.testing.assert_allclose(scaled[1][:, 0], 2 * noise[1][:, 0])
    np.testing.assert_allclose(scaled[1][:, 1], 3 * noise[1][:, 1])
    with pytest.raises(ValueError, match="z_temperature"):
        draw(z_temperature=(1.0, 1.0))


@pytest.mark.slow
def test_bfloat16_nets_keep_float32_terms():
    extra = {"dtype": "bfloat16"}
    model = model_of(encoder=extra, decoder=extra, **CODE)
    params, constants = init(model)
    terms = elbo(model, params, constants, batch_of(), jax.random.key(1))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((params, terms)))
    assert jnp.isfinite(terms.value).all()
    full = dataclasses.replace(
        model, encoder=model.encoder.clone(dtype="float32"),
        decoder=model.decoder.clone(dtype="float32"),
    )  # fmt: skip
    exact = elbo(full, params, constants, batch_of(), jax.random.key(1))
    np.testing.assert_allclose(terms.value, exact.value, rtol=0.05)


def test_images_that_are_not_square():
    shape = (8, 12, 1)
    model = model_of(encoder={"patch": 2}, decoder={"patch": 2})
    assert model.latent_shapes(shape) == [(1, 2, 3, 1), (2, 4, 6, 1)]

    def both(key):
        params, constants = model.init(key, shape)
        found = model.elbo(params, constants, batch_of(shape=shape), key)
        return found.value, model.sample(params, constants, key, 2, x_shape=shape)

    value, drawn = jax.eval_shape(both, jax.random.key(0))
    assert (value.shape, drawn.shape) == ((3,), (2, *shape))


def test_pooling_and_patches():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    np.testing.assert_allclose(bottleneck.pool(x, 2)[0, 0, 1], x[0, :2, 2:].mean((0, 1)))
    patches = bottleneck.space_to_depth(x, 2)
    np.testing.assert_array_equal(patches[0, 1, 0], x[0, 2:, :2].reshape(-1))
    from vdp.nets.conv import depth_to_space

    np.testing.assert_array_equal(depth_to_space(patches, 2), x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": ((2, 1, 1), (4, 1, 1))}, "finest to the coarsest"),
        ({"posterior": "half"}, "free, precision"),
        ({"pseudoinput": {"name": "dct", "size": 3, "input_levels": 2}}, "prior over them"),
        (CODE | VAMP, "VampPrior"),
        ({"prior": CODE["prior"]}, "separate"),
    ],
)
def test_what_makes_no_model_is_refused(fields, message):
    from vdp.errors import UserError

    with pytest.raises(UserError, match=message):
        model_of(**fields)


def test_resolutions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not divide"):
        init(model_of(scales=((3, 1, 1),)))
    with pytest.raises(ValueError, match=r"patches of 3x3 do not divide .*data\.resize=3x3"):
        init(model_of(scales=((1, 1, 1),), encoder={"patch": 3}))
    with pytest.raises(ValueError, match="height 8 is finer"):
        init(model_of(scales=((8, 1, 1),), encoder={"patch": 2}))
    with pytest.raises(ValueError, match="same channels"):
        init(model_of(scales=((4, 1, 2), (2, 1, 1))))
