"""Hierarchies whose prior is trained apart: who gets which gradient, over u and over z_L."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp.dists import Normal, standard_normal
from vdp.errors import UserError
from vdp.likelihoods import normal
from vdp.models import hvae, stages
from vdp.priors import normal as normal_prior
from vdp.pseudoinputs import linear
from vdp.types import Batch, Terms

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).integers(0, 16, (6, *SHAPE), dtype=np.uint8)
BATCH = Batch(target=IMAGES, input=IMAGES, label=np.zeros(6, np.int32))


class Encoder(nn.Module):
    """One dense layer per pixel; the image is the only scale."""

    @nn.compact
    def __call__(self, x, scales, *, train=False):
        return [nn.Dense(1)(x)]


class Decoder(nn.Module):
    """p(z_1|u) = N(u/2, 1), q from the features, and one dense layer per pixel from z_1."""

    output_from: str = "z_1"

    @nn.compact
    def __call__(self, latent, features, conditions, noise, scales, out_shape, *, train=False):
        (eps,), (x,), (u,) = noise, features, conditions
        zero = jnp.zeros_like(eps[0])
        p = (zero if u is None else 0.5 * u, zero)
        z, report = latent(p, (x, zero - 1), eps[0], jnp.float32(1))
        return nn.Dense(1)(z), [jax.tree.map(lambda leaf: leaf[None], report)]


def made(over_code):
    """(model, parameters moved off their start, stats, noise): a prior over u, or over z_L."""
    model = hvae.make(
        encoder=Encoder(),
        decoder=Decoder(),
        likelihood=normal.make(levels=16, scale="learned"),
        scales=((4, 1, 1),),
        input_levels=16,
        pseudoinput=linear.make(size=2) if over_code else None,
        prior=normal_prior.make(learned=True),
    )
    params, stats = started(model, jax.random.key(0), SHAPE, data=jnp.asarray(IMAGES))
    noise = model.draw(jax.random.key(2), BATCH)
    return model, moved(params), stats, noise


def gradient(model, params, stats, noise, plus=lambda params: 0.0):
    """Of the mean loss plus something of the parameters."""

    def loss(params):
        value, _ = model.loss(
            params, stats, BATCH, jax.random.key(3), step=0, train=True, noise=noise
        )
        return value.mean() + plus(params)

    return jax.jit(jax.grad(loss))(params)


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)


def moves(tree):
    return any(jnp.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("over_code", [True, False], ids=["u", "z_L"])
def test_each_part_gets_the_gradient_that_is_meant(over_code):
    model, params, stats, noise = made(over_code)
    joint = gradient(model, params, stats, noise)
    others = [role for role in params if role != "prior"]
    assert over_code == ("pseudoinput" in others)
    held = gradient(dataclasses.replace(model, training="prior"), params, stats, noise)
    assert all(not leaf.any() for leaf in jax.tree.leaves([held[role] for role in others]))
    close(held["prior"], joint["prior"])
    assert moves(held["prior"])

    def normal_for_prior(params):  # KL(q || N(0, I)) in place of minus the prior's share
        q, minus_rate = of_prior(model, params, stats, noise)
        return (q.kl(standard_normal(q.mean)) + minus_rate).mean()

    detached = gradient(dataclasses.replace(model, training="detached"), params, stats, noise)
    expected = gradient(model, params, stats, noise, plus=normal_for_prior)
    close(detached["prior"], joint["prior"])
    for role in others:
        close(detached[role], expected[role])
        assert moves(detached[role])


def of_prior(model, params, stats, noise):
    """(q of what the prior is over, minus its rate)."""
    q = model.encode(params, stats, IMAGES)["u" if model.over_code else "z_1"]
    _, terms = model.prior.rate(
        params["prior"], stats["prior"], q, None, noise=noise.prior, train=True
    )
    return q, terms.value


def test_what_cannot_be_trained_apart_is_refused():
    model, *_ = made(over_code=True)
    with pytest.raises(UserError, match="training 'both'; accepted: detached, joint, prior"):
        dataclasses.replace(model, training="both")
    with pytest.raises(UserError, match="without a prior"):
        dataclasses.replace(model, pseudoinput=None, prior=None, training="detached")
    with pytest.raises(UserError, match="merged"):
        stages.check("prior", model.prior, merged=True)


def test_beta_weighs_what_the_encoder_pays_and_not_what_the_prior_learns():
    q = Normal(jnp.array([[0.5, -1.0], [2.0, 0.0]]), jnp.array([[0.0, -1.0], [-2.0, 0.5]]))
    likelihood, other = jnp.array([-3.0, -4.0]), jnp.array([-0.7, -0.2])
    minus_rate = jnp.array([-1.1, -2.3])
    terms = Terms.of(likelihood=likelihood, z_1=other, z=minus_rate)
    to_standard = 0.5 * (jnp.exp(q.log_var) + q.mean**2 - 1 - q.log_var).sum(1)
    expected = {
        "joint": -likelihood - 0.3 * (other + minus_rate),
        "detached": -likelihood - 0.3 * (other - to_standard) - minus_rate,
        "prior": -likelihood - other - minus_rate,
    }
    for training, value in expected.items():
        found = stages.loss(training, terms, minus_rate, q, 0.3)
        np.testing.assert_allclose(found, value, rtol=1e-6)
