"""The hierarchy on cases solved by hand: a linear-Gaussian ladder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from starting import moved, started
from toys import SCALE, A, B

from vdp import build, config
from vdp.data import datasets
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.metrics import dvp_reference, refinement
from vdp.metrics import likelihood as estimators
from vdp.metrics.batched import Batched
from vdp.runtime import parallel
from vdp.types import Batch

LEVELS = 256
X_SHAPE = (2, 2, 1)


def linear(x_shape=X_SHAPE, **fields):
    """(model, params, stats): two latents per pixel, everything Gaussian."""
    spec = {
        "name": "hvae",
        "scales": ((2, 2, 1),),
        "encoder": {"name": "toys.LinearEncoder"},
        "decoder": {"name": "toys.LinearDecoder"},
        "likelihood": {"name": "normal", "scale": SCALE},
    }
    model = build.build("model", spec | fields, levels=LEVELS, input_levels=LEVELS)
    params, constants = started(model, jax.random.key(0), x_shape)
    return model, params, constants


def batch_of(num=5, x_shape=X_SHAPE):
    images = np.random.default_rng(0).integers(60, 200, size=(num, *x_shape)).astype(np.uint8)
    return Batch(target=images, input=images, label=np.zeros(num, np.int32))


def exact_log_prob(batch, *, extra=0.0):
    """Pixels are independent: x ~ N(0, A^2 (1 + extra) + B^2 + SCALE^2)."""
    x = 2 * np.asarray(batch.target, np.float64).reshape(-1, 4) / (LEVELS - 1) - 1
    return stats.norm(0, np.sqrt(A**2 * (1 + extra) + B**2 + SCALE**2)).logpdf(x).sum(1)


EXACT = {"name": "toys.LinearDecoder", "exact": True}
CODE = {
    "pseudoinput": {"name": "downsample", "size": 2, "antialias": False},
    "prior": {"name": "normal", "learned": False},
    "code_log_var": -5.5,
}


def weights(model, params, constants, num, seed=1):
    keys = jax.random.split(jax.random.key(seed), num)
    one = lambda k: model.log_weight(params, constants, batch_of(), k)
    return np.asarray(jax.lax.map(one, keys, batch_size=2000), np.float64)


@pytest.mark.parametrize(("posterior", "num"), [("free", 40_000), ("precision", 40_000)])
def test_iwae_meets_the_exact_log_likelihood(posterior, num):
    model, params, constants = linear(posterior=posterior)
    found = estimators.iwae(
        model, params, constants, batch_of(), jax.random.key(1), num_samples=num, chunk=4000
    )
    np.testing.assert_allclose(found, exact_log_prob(batch_of()), atol=0.05)


def test_a_prior_over_the_top_latent_takes_the_place_of_the_blocks_own():
    model, params, constants = linear(prior={"name": "normal", "learned": False})
    log_w = weights(model, params, constants, 40_000)
    ratio = np.exp(log_w - exact_log_prob(batch_of()))
    assert np.all(np.abs(ratio.mean(0) - 1) < 5 * ratio.std(0) / np.sqrt(len(ratio)))
    parts = jax.jit(model.elbo)(params, constants, batch_of(), jax.random.key(0)).parts
    assert set(parts) == {"likelihood", "z_2_kl", "z_1"}


@pytest.mark.parametrize("fields", [{}, {"posterior": "precision"}, CODE], ids=["free", "pw", "u"])
def test_weights_average_to_the_bound_and_their_exponentials_to_the_likelihood(fields):
    model, params, constants = linear(**fields)
    log_w = weights(model, params, constants, 20_000)
    keys = jax.random.split(jax.random.key(3), 4000)
    elbo = jax.jit(jax.vmap(lambda k: model.elbo(params, constants, batch_of(), k).value))(keys)
    error = np.hypot(elbo.std(0) / np.sqrt(len(elbo)), log_w.std(0) / np.sqrt(len(log_w)))
    assert np.all(np.abs(elbo.mean(0) - log_w.mean(0)) < 5 * error)
    if not fields.get("prior"):
        exact = exact_log_prob(batch_of())
        ratio = np.exp(log_w - exact)
        assert np.all(np.abs(ratio.mean(0) - 1) < 5 * ratio.std(0) / np.sqrt(len(ratio)))
        assert np.all(elbo.mean(0) < exact)


def test_with_a_code_the_exponentials_average_to_the_joint_likelihood():
    """u ~ N(0, 1) shifts z_2 by u/2, so x ~ N(0, A^2 (1 + 1/4) + ...); q(u|x) is a narrow peak."""
    model, params, constants = linear(**CODE, log_var_u=(-12.0, 5.0))
    wide = jnp.full((2, 2, 1), 0.0)  # the test needs a q(u|x) that covers p(u|x)
    params["decoder"]["noise"] = wide
    log_w = weights(model, params, constants, 60_000)
    ratio = np.exp(log_w - exact_log_prob(batch_of(), extra=0.25))
    assert np.all(np.abs(ratio.mean(0) - 1) < 5 * ratio.std(0) / np.sqrt(len(ratio)))


def test_under_the_exact_posterior_every_weight_is_the_likelihood():
    model, params, constants = linear(decoder=EXACT)
    log_w = weights(model, params, constants, 20)
    np.testing.assert_allclose(log_w, np.tile(exact_log_prob(batch_of()), (20, 1)), atol=1e-4)


def test_the_published_estimator_can_exceed_the_exact_log_likelihood():
    """Its terms scatter even under the exact posterior, and their log-mean-exp lies above."""
    model, params, constants = linear(decoder=EXACT)
    found = estimators.iwae(
        dvp_reference.ReferenceTerms(model), params, constants, batch_of(), jax.random.key(2),
        num_samples=5000, chunk=1000,
    )  # fmt: skip
    assert dvp_reference.LABEL == "not a bound"
    assert np.all(found > exact_log_prob(batch_of()) + 0.1)


def test_the_code_keeps_its_range_and_its_gradient():
    """Clamped in value wherever a parameter comes from; the optimiser holds it inside."""
    model, params, constants = linear(**CODE | {"prior": {"name": "normal"}})
    ((path, limits),) = model.parameter_ranges.items()
    assert (path, limits) == ("decoder/noise", (-12.0, -5.0))
    for value, expected in ((-13.0, -12.0), (-6.0, -6.0), (-4.0, -5.0)):

        def log_var(noise):
            moved = params | {"decoder": params["decoder"] | {"noise": noise}}
            images = jnp.float32(batch_of().input)
            return model.code(moved, constants, images).log_var.mean()

        noise = jnp.full_like(params["decoder"]["noise"], value)
        found, gradient = jax.jit(jax.value_and_grad(log_var))(noise)
        np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(gradient.sum(), 1.0, rtol=1e-5)
    merged, _, _ = linear()
    assert not merged.parameter_ranges
    wider = dataclasses.replace(model, log_var_u=(-12.0, -2.0))
    assert wider.parameter_ranges == {"decoder/noise": (-12.0, -2.0)}
    with pytest.raises(UserError, match=r"code_log_var=-5.5 outside log_var_u=\(-12.0, -6.0\)"):
        dataclasses.replace(model, log_var_u=(-12.0, -6.0))


def test_a_diffusion_over_the_top_latent_is_as_sharp_as_its_posterior():
    schedule = {"name": "linear", "gamma_0": -6.0, "gamma_1": 6.0}
    denoiser = {"name": "UNetDenoiser", "width": 8, "depth": 1}
    prior = {"name": "vdm", "denoiser": denoiser, "schedule": schedule}
    assert linear(prior=prior, log_var_q=(-6.0, 1.0))
    with pytest.raises(UserError, match=r"gamma_0 may reach -6, above the floor -10"):
        linear(prior=prior)


def test_the_precision_weighted_posterior_is_the_product_of_two_gaussians():
    """Log q - log q_block - log p is constant in z; under a prior q(z_L) is the block's alone."""
    model = linear(posterior="precision")[0]
    both = lambda value: jnp.full((1, 1, 1, 2), value)
    p = model._p((both(0.3), both(-0.7)))
    block = (both(-0.4), both(0.2))
    q = model._q(p, block, jnp.float32(1))
    single = Normal(*block)
    z = jnp.linspace(-3.0, 3.0, 9)
    left = [q.log_prob(both(v)) for v in z]
    right = [single.log_prob(both(v)) + p.log_prob(both(v)) for v in z]
    np.testing.assert_allclose(np.ptp(np.subtract(left, right)), 0, atol=1e-4)
    under = linear(posterior="precision", prior={"name": "normal", "learned": False})[0]
    np.testing.assert_array_equal(under._q(p, block, jnp.float32(1)).mean, block[0])
    np.testing.assert_allclose(under._q(p, block, jnp.float32(0)).mean, q.mean)


def test_a_partial_bound_has_the_code_from_q_and_what_is_below_from_p():
    """Given u, x ~ N(A u/2, A^2 + B^2 + SCALE^2), through latents that cost nothing."""
    model, params, constants = linear(**CODE)
    batch, key = batch_of(), jax.random.key(0)
    bound = lambda key, **how: model.partial_elbo(params, constants, batch, key, **how)
    whole, same, found = jax.jit(
        lambda key: (
            model.elbo(params, constants, batch, key),
            bound(key, num_scales=1),
            bound(key, num_scales=0),
        )
    )(key)
    np.testing.assert_allclose(same.value, whole.value, rtol=1e-6)
    for name, part in found.parts.items():
        if name != "likelihood":
            expected = whole.parts[name] if name[0] == "u" else np.zeros(len(part))
            np.testing.assert_allclose(part, expected, rtol=1e-6)
    keys = jax.random.split(key, 3000)
    drawn = jax.jit(jax.vmap(lambda key: bound(key, num_scales=0).parts["likelihood"]))
    values = drawn(keys)
    x = 2 * np.asarray(batch.target, np.float64) / (LEVELS - 1) - 1
    q = model.code(params, constants, jnp.float32(batch.input) / (LEVELS - 1))
    off = x - A * np.asarray(q.mean) / 2
    spread = A**2 * (1 + np.exp(-5.5) / 4) + B**2
    each = -0.5 * ((off**2 + spread) / SCALE**2 + np.log(2 * np.pi * SCALE**2))
    error = values.std(0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(0) - each.sum((1, 2, 3))) < 5 * error)
    np.testing.assert_allclose(
        model.code_log_prob(params, constants, batch, key),
        stats.norm.logpdf(np.asarray(q.mean)).sum((1, 2, 3)),
        rtol=1e-5,
    )


def test_a_prior_over_the_top_latent_leaves_that_one_to_q():
    model, params, constants = linear(prior={"name": "normal", "learned": False})
    with pytest.raises(UserError, match="num_scales=1 or more"):
        model.partial_elbo(params, constants, batch_of(), jax.random.key(0), num_scales=0)


def test_free_bits_stop_the_gain_of_latents_below_them():
    """By the gradients of the parts alone: those of a latent below the bits are gone."""
    body = {"width": 4, "hidden": 4}
    model, params, constants = linear(
        scales=((4, 2, 1), (2, 1, 1)),
        encoder={"name": "LadderEncoder", "blocks": 1, **body},
        decoder={"name": "LadderDecoder", **body},
        x_shape=(8, 8, 1),
        **CODE,
    )
    params = moved(params, scale=0.05)  # at its start every KL is 0
    batch = batch_of(6, (8, 8, 1))

    def parts(params):
        _, aux = model.loss(params, constants, batch, jax.random.key(1), step=0, train=True)
        return {name: part.mean() for name, part in aux.terms.parts.items()}

    names = model.latent_names
    values, gradients = jax.jit(lambda p: (parts(p), jax.jacrev(parts)(p)))(params)
    rates = sorted(-float(values[name]) for name in names)
    bits = (rates[0] + rates[-1]) / 2
    above = [name for name in names if -values[name] > bits]
    assert 0 < len(above) < len(names)
    freed = dataclasses.replace(model, free_bits=bits)

    def loss(params):
        value, aux = freed.loss(params, constants, batch, jax.random.key(1), step=0, train=True)
        return value.mean(), aux.terms.value.mean()

    (found, reported), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    kept = [name for name in values if name in above or name not in names]
    expected = bits * (len(names) - len(above)) - sum(values[name] for name in kept)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(reported, sum(values.values()), rtol=1e-5)
    sums = jax.tree.map(lambda *leaves: -sum(leaves), *(gradients[name] for name in kept))
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), gradient, sums)
    scale = jax.tree.map(lambda a: np.abs(a).max(), sums)
    assert max(jax.tree.leaves(gap)) < 1e-4 * max(jax.tree.leaves(scale))


def test_refined_features_are_the_best_for_their_image():
    """With q(z_2) = N(0.3 f, Q^2) and q(z_1|z_2) = N(0.3 f + 0.1 z_2, Q^2) the bound is quadratic.

    The means of z_2, z_1 and z_1 - A z_2 are 0.3, 0.33 and 0.12 times the feature f of a pixel.
    """
    model, params, constants = linear()
    batch = batch_of()
    ascent = refinement.Ascent(Batched(parallel.make_mesh(), 5, 0), model, steps=1500, rate=0.01)
    found = ascent(params, constants, batch, jax.random.key(1))
    x = 2 * np.asarray(batch.target, np.float64) / (LEVELS - 1) - 1
    best = 0.33 * x / SCALE**2 / (0.33**2 / SCALE**2 + 0.3**2 + 0.12**2 / B**2)
    assert np.abs(best - x).mean() > 0.2, "far from what the encoder says"
    assert np.abs(found.encoded[0] - best).mean() < 0.1
    keys = jax.random.split(jax.random.key(2), 2000)
    bound = lambda given: jax.vmap(lambda k: model.elbo(params, constants, given, k).value)(keys)
    assert np.all(bound(found).mean(0) > bound(batch).mean(0)), "by the same draws"
    weights = estimators.iwae(
        model, params, constants, found, jax.random.key(4), num_samples=4000, chunk=1000
    )
    np.testing.assert_allclose(weights, exact_log_prob(batch), atol=0.1)


def test_an_ascent_has_the_gradient_of_the_bound_and_the_blocks_of_training():
    fields = [("model.prior.weights", "simple_all")]
    settings = config.settings("digits_dvp:depth=4,smoke", fields)
    model = build.model(settings.model, datasets.load(settings.data).facts)
    ascended = model.ascended()
    assert (model.prior.weights, ascended.prior.weights) == ("simple_all", "bound")
    assert (model.decoder.blocks_by, ascended.decoder.blocks_by) == ("auto", "loop")
    assert linear()[0].ascended() == linear()[0], "nothing to change"
