"""Draws of a hierarchy, its annealing and its codes, on a linear-Gaussian ladder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import ANNEALING
from starting import started
from toys import A, B, Q

from vdp import build
from vdp.metrics import latents
from vdp.models.hvae import HVAE
from vdp.types import Batch

LEVELS, X_SHAPE, NUM = 256, (2, 2, 1), 20_000
SPEC = {
    "name": "hvae",
    "scales": ((2, 2, 1),),
    "encoder": {"name": "toys.LinearEncoder"},
    "decoder": {"name": "toys.LinearDecoder"},
    "likelihood": {"name": "normal", "scale": 0.5},
}
CODE = {"pseudoinput": {"name": "downsample", "size": 2, "antialias": False}}
MEAN, STD = 3.0, 0.5  # of the prior over z_2, or over u, which shifts z_2 by u/2


def linear(**fields):
    model = build.build("model", SPEC | fields, levels=LEVELS, input_levels=LEVELS)
    return model, *started(model, jax.random.key(0), X_SHAPE)


def batch_of(num=5):
    images = np.random.default_rng(0).integers(60, 200, size=(num, *X_SHAPE)).astype(np.uint8)
    return Batch(target=images, input=images, label=np.zeros(num, np.int32))


@pytest.mark.parametrize("over", ["z_2", "u", "given u", "nothing"])
def test_samples_are_of_the_prior_and_of_every_latent_below_it(over, monkeypatch):
    """z_1 = A z_2 + noise(B^2) is what the likelihood sees; z_2 ~ N(u/2, 1), or is the prior's."""
    monkeypatch.setattr(HVAE, "_drawn_image", lambda self, outputs, rng, mean: outputs[..., :1])
    prior = {"prior": {"name": "normal", "learned": True}} if over != "nothing" else {}
    model, params, stats = linear(**prior, **(CODE if over.endswith("u") else {}))
    if prior:
        shape = params["prior"]["mean"].shape
        moments = {"mean": jnp.full(shape, MEAN), "log_var": jnp.full(shape, 2 * np.log(STD))}
        params["prior"] = moments
    how = {"u": jnp.full((NUM, *X_SHAPE), -2.0)} if over == "given u" else {}
    found = model.sample(params, stats, jax.random.key(1), NUM, x_shape=X_SHAPE, **how)
    mean, var = {
        "z_2": (MEAN, STD**2),
        "u": (MEAN / 2, 1 + STD**2 / 4),
        "given u": (-1.0, 1.0),
        "nothing": (0.0, 1.0),
    }[over]
    np.testing.assert_allclose(found.mean(), A * mean, atol=0.02)
    np.testing.assert_allclose(found.var(axis=0), A**2 * var + B**2, rtol=0.05)


def test_codes_are_the_means_of_posteriors_at_joint_draws():
    """z_2's is 0.3 x whatever is drawn; z_1's has 0.1 z_2 in it."""
    model, params, stats = linear()
    batch, num = batch_of(), 4000
    found = model.latent_means(params, stats, batch, jax.random.key(2), num)
    x = (2 * np.asarray(batch.input, np.float32) / (LEVELS - 1) - 1).reshape(5, 1, 4)
    upper, lower = found[..., :4], found[..., 4:]
    np.testing.assert_allclose(upper, np.broadcast_to(0.3 * x, upper.shape), atol=1e-6)
    np.testing.assert_allclose(lower.mean(axis=1), 0.33 * x[:, 0], atol=0.01)
    np.testing.assert_allclose(lower.std(axis=1), 0.1 * Q, rtol=0.05)


def test_the_rates_of_units_sum_to_those_of_the_latents():
    model, params, stats = linear()
    batch, num = batch_of(), 3000
    one = jax.jit(lambda key: model.unit_rates(params, stats, batch, key).reshape(5, 2, 4).sum(-1))
    found = jax.lax.map(one, jax.random.split(jax.random.key(2), num))
    elbo = jax.jit(lambda key: model.elbo(params, stats, batch, key).parts)
    parts = jax.lax.map(elbo, jax.random.split(jax.random.key(3), num))
    for place, name in enumerate(model.latent_names):
        error = np.sqrt((found[..., place].var(0) + parts[name].var(0)) / num)
        difference = found[..., place].mean(0) + parts[name].mean(0)
        assert np.all(np.abs(difference) <= 5 * error + 1e-4), name


def test_a_latent_under_a_prior_has_no_rate_by_unit():
    model, params, stats = linear(prior={"name": "normal", "learned": True})
    rates = model.unit_rates(params, stats, batch_of(), jax.random.key(2))
    np.testing.assert_array_equal(np.isnan(rates), np.arange(8)[None] < np.full((5, 1), 4))
    _, known = latents.used_units([np.asarray(rates)])
    np.testing.assert_array_equal(known, [False] * 4 + [True] * 4)


def test_what_only_its_prior_moves_is_active_and_not_used(monkeypatch):
    """z_1, whose posterior is its prior, follows z_2, which follows the image."""
    model, params, stats = linear()
    own = HVAE._q

    def below_the_top_as_the_prior(self, prior, moments, top):
        choose = lambda q, p: jnp.where(top > 0, q, p)
        return jax.tree.map(choose, own(self, prior, moments, top), prior)

    monkeypatch.setattr(HVAE, "_q", below_the_top_as_the_prior)
    images = np.random.default_rng(1).integers(0, 256, size=(60, *X_SHAPE)).astype(np.uint8)
    batch = Batch(target=images, input=images, label=np.zeros(60, np.int32))
    key = jax.random.key(2)
    active = latents.active_units([np.asarray(model.latent_means(params, stats, batch, key, 1000))])
    used, known = latents.used_units([np.asarray(model.unit_rates(params, stats, batch, key))])
    np.testing.assert_array_equal(used, [True] * 4 + [False] * 4)
    assert known.all()
    assert active["is_active"].all()


@pytest.mark.parametrize(("beta", "warmup", "step", "weight"), ANNEALING)
def test_annealing_touches_the_loss_and_nothing_else(beta, warmup, step, weight):
    model, params, stats = linear()
    annealed = dataclasses.replace(model, beta=beta, kl_warmup_steps=warmup)
    noise = model.draw(jax.random.key(6), batch_of())
    given = (params, stats, batch_of(), jax.random.key(7))
    loss, aux = annealed.loss(*given, step=step, train=False, noise=noise)
    elbo = model.elbo(*given, noise=noise)
    np.testing.assert_allclose(aux.terms.value, elbo.value, rtol=1e-6)
    likelihood = elbo.parts["likelihood"]
    expected = -(likelihood + weight * (elbo.value - likelihood))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
