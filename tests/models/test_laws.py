"""The laws every model keeps; a new file in vdp/models is found by listing the folder.

Each case is a whole model of tiny networks whose parameters are moved off their start, so that no
zero hides a missing gradient.
"""

import dataclasses
import functools
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

import vdp.models
from vdp import build, variants
from vdp.errors import UserError
from vdp.metrics import likelihood, score
from vdp.priors.normal import NormalPrior
from vdp.types import Batch, Probabilistic, Reinterpretable, Scored, Weighted

X_SHAPE, LEVELS, NUM = (4, 4, 1), 4, 6
DEFAULT = {"schedule": "learned_scalar", "form": "separate"}
SHORT = {"name": "learned_scalar", "gamma_0": -2.5, "gamma_1": 3.0, "gamma_0_max": -2.0}
PRIORS = {
    name: variants.prior(DEFAULT | {"prior": name}, width=8, depth=1) for name in variants.PRIORS
}
PRIORS["vdm"] |= {"schedule": SHORT, "num_steps": 8}
PRIORS["ddpm"] |= {"num_steps": 8}
PRIORS["vamp"] |= {"num_components": 3}
PRIORS["mixture"] |= {"num_components": 3}
UNET = {"name": "UNetDenoiser", "width": 8, "depth": 1}
MLP = {"name": "MLP", "width": 8, "depth": 1, "dropout": 0.2}
CATEGORICAL = {"name": "categorical"}
VAE = dict(
    name="vae", latent_shape=(2,), encoder=MLP, decoder=MLP, log_var_floor=-2.0,
    likelihood={"name": "discretized_logistic", "scale": "predicted"},
)  # fmt: skip
DCGAN = dict(
    encoder={"name": "DCGANEncoder", "channels": (4, 4)},
    decoder={"name": "DCGANDecoder", "channels": (4, 4)},
)
LADDER = dict(
    name="hvae", scales=((4, 2, 1), (2, 1, 1)),
    encoder={"name": "LadderEncoder", "width": 4, "hidden": 4, "blocks": 1},
    decoder={"name": "LadderDecoder", "width": 4, "hidden": 4},
    likelihood={"name": "logistic_mixture", "num_components": 2},
)  # fmt: skip
CODE = {"name": "downsample", "size": 2}
OVER_CODE = PRIORS["vdm"] | {"denoiser": UNET}
PIXEL = dict(name="pixel", likelihood=CATEGORICAL, location="noisy")
AE = dict(
    name="ae",
    latent_shape=(2,),
    encoder={"name": "FeedForward", "widths": (8,)},
    decoder={"name": "FeedForward", "widths": (8,)},
)
CASES = {
    **{f"vae-{name}": VAE | {"prior": spec} for name, spec in PRIORS.items()},
    "vae-merged": VAE | {"prior": PRIORS["vdm"] | {"form": "merged"}},
    "vae-vamp-batchnorm": VAE | DCGAN | {"prior": PRIORS["vamp"]},
    "vae-detached": VAE | {"prior": PRIORS["flow"], "training": "detached"},
    "hvae-ladder": LADDER,
    "hvae-code": LADDER | {"pseudoinput": CODE, "prior": OVER_CODE, "code_log_var": -5.5},
    "hvae-merged-code": LADDER | {"pseudoinput": CODE, "prior": OVER_CODE | {"form": "merged"}},
    "hvae-vamp": LADDER | {"prior": PRIORS["vamp"]},
    "pixel-vdm": PIXEL | {"prior": OVER_CODE | {"form": "merged"}},
    "pixel-ddpm": PIXEL
    | {
        "prior": PRIORS["ddpm"] | {"denoiser": UNET, "form": "merged"},
        "likelihood": {"name": "discretized_normal"},
        "location": "denoised",
    },
    "ae-plain": AE,
    "ae-denoising": AE | {"kind": "denoising", "corruption": 0.2, "masking": 0.2},
    "ae-robust": AE | {"kind": "robust", "radius": 0.3, "ascent_steps": 2},
    "ae-contractive": AE | {"kind": "contractive", "weight": 0.1, "probes": 2},
    "classifier": {"name": "classifier", "net": {"name": "FeedForward", "widths": (8,)}},
}
# dearer, and under the same laws as others that are not
SLOW = ("hvae-code", "hvae-ladder", "hvae-vamp", "pixel-vdm", "pixel-ddpm")
SLOW += tuple(f"vae-{name}" for name in ("mixture", "vamp", "ddpm", "tarflow", "trajectory"))
EVERY = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES]
CONVOLUTIONS = ("hvae", "pixel")  # dearer: fewer draws, and not operation by operation
SILENT = {  # kept so that published weights can be carried over: nothing follows the last latent
    f"['decoder']['net']['bottom']['z_up']['{leaf}']" for leaf in ("kernel", "bias")
}
KEY = jax.random.key(0)


@functools.cache
def built(name):
    """(model, params, stats) with every parameter moved at random."""
    spec = CASES[name]
    model = build.build("model", spec, levels=LEVELS, input_levels=LEVELS, num_classes=3)
    params, stats = started(model, KEY, X_SHAPE)
    return model, moved(params), stats


def batch_of(num=NUM, seed=0):
    rng = np.random.default_rng(seed)
    images = jnp.asarray(rng.integers(0, LEVELS, (num, *X_SHAPE)), jnp.uint8)
    return Batch(target=images, input=images, label=jnp.arange(num, dtype=jnp.int32) % 3)


def compared(model, params, stats, batch, rng, noise):
    """The bound, or the score of its own."""
    of = model.elbo if isinstance(model, Probabilistic) else model.evaluate
    return of(params, stats, batch, rng, noise=noise)


def trained(model, params, stats, batch, rng, noise):
    """(loss [B], Aux) in training."""
    return model.loss(params, stats, batch, rng, step=jnp.int32(5), train=True, noise=noise)


def test_every_model_is_under_these_laws():
    folder = pathlib.Path(vdp.models.__path__[0])
    there = {path.stem for path in folder.glob("*.py") if "\nmake = " in path.read_text()}
    assert there == {spec["name"] for spec in CASES.values()}


@pytest.mark.parametrize("name", EVERY)
def test_parts_sum_to_the_value_and_are_finite_float32(name):
    model, params, stats = built(name)
    noise = model.draw(jax.random.key(2), batch_of(), purpose="elbo")
    terms = jax.jit(functools.partial(compared, model))(params, stats, batch_of(), KEY, noise)
    chex.assert_shape([terms.value, *terms.parts.values()], (NUM,))
    chex.assert_type([terms.value, *terms.parts.values()], jnp.float32)
    chex.assert_tree_all_finite(terms)
    np.testing.assert_allclose(sum(terms.parts.values()), terms.value, rtol=1e-5)
    assert isinstance(model, Probabilistic) != isinstance(model, Scored)
    assert score.score_of(model).name


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_has_un_annealed_terms_and_gradients_reach_every_leaf(name):
    model, params, stats = built(name)
    noise = model.draw(jax.random.key(2), batch_of(), purpose="loss")

    def mean_loss(params):
        loss, aux = trained(model, params, stats, batch_of(), KEY, noise)
        return loss.mean(), (loss, aux)

    gradients, (loss, aux) = jax.jit(jax.grad(mean_loss, has_aux=True))(params)
    chex.assert_shape([loss, aux.terms.value], (NUM,))
    chex.assert_tree_all_finite((loss, aux, gradients))
    np.testing.assert_allclose(sum(aux.terms.parts.values()), aux.terms.value, rtol=1e-5)
    chex.assert_trees_all_equal_structs(aux.stats, stats)
    unmoved = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        if not np.abs(leaf).max() > 0
    ]
    assert set(unmoved) <= (SILENT if name.startswith("hvae") else set())


@pytest.mark.parametrize("name", EVERY)
def test_a_noise_that_is_given_is_the_noise_that_is_drawn(name):
    """And jit changes nothing but rounding."""
    model, params, stats = built(name)
    draw_rng, _ = jax.random.split(KEY)
    noise = model.draw(draw_rng, batch_of(), purpose="elbo")
    function = functools.partial(compared, model)
    jitted = jax.jit(function)
    drawn = (jitted if name.startswith(CONVOLUTIONS) else function)(
        params, stats, batch_of(), KEY, None
    )
    given = jitted(params, stats, batch_of(), KEY, noise)
    chex.assert_trees_all_close(drawn, given, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", EVERY)
def test_no_example_of_a_batch_influences_another_and_one_is_a_batch(name):
    model, params, stats = built(name)
    noise = model.draw(jax.random.key(3), batch_of(), purpose="elbo")
    chex.assert_tree_shape_prefix(noise, (NUM,))
    function = jax.jit(functools.partial(compared, model))
    whole = function(params, stats, batch_of(), KEY, noise)
    others = batch_of(seed=9)
    mixed = jax.tree.map(lambda a, b: jnp.concatenate([a[:1], b[1:]]), batch_of(), others)
    among = function(params, stats, mixed, KEY, noise)
    alone = function(
        params, stats, jax.tree.map(lambda x: x[:1], batch_of()), KEY,
        jax.tree.map(lambda x: x[:1], noise),
    )  # fmt: skip
    np.testing.assert_allclose(among.value[0], whole.value[0], rtol=1e-5)
    np.testing.assert_allclose(alone.value[0], whole.value[0], rtol=1e-5)
    assert np.abs(among.value[1:] - whole.value[1:]).max() > 1e-3


@pytest.mark.parametrize(
    "name", [case for case in EVERY if not str(case).startswith(("ae", "classifier"))]
)
def test_weights_average_to_the_bound_of_the_same_model_and_iwae_grows_with_k(name):
    model, params, stats = built(name)
    assert isinstance(model, Weighted)
    assert isinstance(model, Reinterpretable)
    model = model.discretized()
    assert model.bound_model == model.weight_model
    num = 300 if name.startswith(CONVOLUTIONS) else 2000
    one = jax.tree.map(lambda x: jnp.repeat(x[:1], num, axis=0), batch_of())
    bound = jax.jit(lambda key: model.elbo(params, stats, one, key).value)(jax.random.key(4))
    weigh = jax.jit(lambda key: model.log_weight(params, stats, one, key))
    weights = jnp.stack([weigh(key) for key in jax.random.split(jax.random.key(5), 4)])
    error = np.sqrt(bound.var() / num + weights.var() / weights.size)
    np.testing.assert_allclose(weights.mean(), bound.mean(), atol=5 * error)


@pytest.mark.parametrize(
    "name",
    ["vae-normal"]
    + [
        pytest.param(n, marks=pytest.mark.slow)
        for n in ("vae-vamp", "vae-vdm", "hvae-merged-code", *SLOW)
    ],
)
def test_images_of_a_given_noise_are_those_drawn(name):
    model, params, stats = built(name)
    noise = model.draw_sample(KEY, 2, x_shape=X_SHAPE)
    chex.assert_tree_shape_prefix(noise, (2,))
    draw = jax.jit(lambda rng, noise: model.sample(
        params, stats, rng, 2, x_shape=X_SHAPE, noise=noise
    ))  # fmt: skip
    drawn, given = draw(KEY, None), draw(None, noise)
    np.testing.assert_allclose(given, drawn, rtol=1e-5, atol=1e-5)
    other = model.draw(KEY, batch_of(2), purpose="weight")
    if name != "hvae-ladder":  # whose latents are all there is, in a bound as in a sample
        with pytest.raises(UserError, match=f"not of {type(other).__name__}"):
            draw(None, other)
    with pytest.raises(UserError, match="a sample of pixels needs a key"):
        model.sample(params, stats, None, 2, x_shape=X_SHAPE, noise=noise, mean=False)


def test_a_prior_that_knows_no_noise_is_sampled_by_keys_alone():
    model, params, stats = built("vae-normal")

    class Plain(NormalPrior):
        def sample(self, params, stats, rng, num, *, z_shape, encode=None):
            return super().sample(params, stats, rng, num, z_shape=z_shape)

    plain = dataclasses.replace(model, prior=Plain())
    draw = lambda model, **how: model.sample(params, stats, KEY, 2, x_shape=X_SHAPE, **how)
    np.testing.assert_array_equal(draw(plain), draw(model))
    with pytest.raises(UserError, match=r"Plain\.sample takes no noise"):
        draw(plain, noise=plain.draw_sample(KEY, 2, x_shape=X_SHAPE))


@pytest.mark.parametrize("name", ["vae-normal", "vae-vdm"])
def test_the_estimator_computes_that_iwae(name):
    model, params, stats = built(name)
    args = (model, params, stats, batch_of(), jax.random.key(6))
    found, ess = jax.jit(lambda: likelihood.iwae_with_ess(*args, num_samples=4, chunk=2))()
    weigh = jax.jit(lambda key: model.log_weight(params, stats, batch_of(), key))
    weights = jnp.stack([weigh(key) for key in jax.random.split(jax.random.key(6), 4)])
    expected = jax.nn.logsumexp(weights, axis=0) - np.log(4)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.all((ess >= 1 - 1e-5) & (ess <= 4 + 1e-5))
