"""Models take the noise of their kind, and refuse that of every other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.errors import UserError
from vdp.models.ae import BallStart, Corruption, JacobianProbes, NoNoise
from vdp.models.hvae import HierarchyNoise, LadderNoise
from vdp.models.pixel import PixelDiffusion
from vdp.types import Batch

PRIOR = {
    "name": "vdm",
    "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1},
    "schedule": {"name": "linear", "gamma_0": -4.0, "gamma_1": 4.0},
    "num_steps": 3,
    "ode_steps": 2,
    "form": "merged",
    "ode_probes": 1,
}


def images_of(shape, levels, num=3):
    images = jax.random.randint(jax.random.key(9), (num, *shape), 0, levels).astype(jnp.uint8)
    return Batch(target=images, input=images, label=jnp.zeros(num, jnp.int32))


def pixel(dequantization):
    return PixelDiffusion(
        prior=build.build("prior", PRIOR),
        likelihood=build.build("likelihood", {"name": "categorical"}, levels=4),
        dequantization=dequantization,
    )


@pytest.mark.slow
def test_the_two_dequantisations_do_not_take_each_others_noise():
    batch = images_of((2, 2, 1), 4)
    models = [pixel(name).as_ode() for name in ("variational", "uniform")]
    params, stats = started(models[0], jax.random.key(0), (2, 2, 1))
    noises = [m.draw(jax.random.key(1), batch, purpose="elbo") for m in models]
    parts = [
        set(m.elbo(params, stats, batch, jax.random.key(2), noise=n).parts)
        for m, n in zip(models, noises, strict=True)
    ]
    assert parts == [{"likelihood", "density"}, {"density", "bins"}]
    for model, noise in zip(models, noises[::-1], strict=True):
        with pytest.raises(UserError, match="BinNoise"):
            model.elbo(params, stats, batch, jax.random.key(2), noise=noise)
    for noise in (None, models[0].draw(jax.random.key(1), batch, purpose="weight")):
        with pytest.raises(UserError, match="dequantization='variational'"):
            models[1].log_weight(params, stats, batch, jax.random.key(2), noise=noise)
    with pytest.raises(UserError, match="evaluation: train with"):
        models[1].loss(params, stats, batch, jax.random.key(2), step=0, train=True)


def hierarchy(**fields):
    body = {"width": 2, "hidden": 2}
    spec = {
        "name": "hvae",
        "scales": ((2, 1, 1),),
        "encoder": {"name": "LadderEncoder", "blocks": 1, **body},
        "decoder": {"name": "LadderDecoder", **body},
        "likelihood": {"name": "bernoulli"},
    }
    return build.build("model", spec | fields, levels=2, input_levels=2)


def test_a_hierarchy_with_a_prior_needs_the_priors_noise_and_never_draws_it_itself():
    batch = images_of((4, 4, 1), 2)
    plain, over_top = hierarchy(), hierarchy(prior={"name": "normal", "learned": False})
    noises = [m.draw(jax.random.key(1), batch) for m in (plain, over_top)]
    assert [type(noise) for noise in noises] == [LadderNoise, HierarchyNoise]
    for model, noise, other in ((plain, *noises), (over_top, *noises[::-1])):
        params, stats = started(model, jax.random.key(0), (4, 4, 1))
        for method in (model.elbo, model.log_weight):
            found = jax.jit(method)(params, stats, batch, jax.random.key(2), noise=noise)
            assert jnp.isfinite(jax.tree.leaves(found)[0]).all()
            with pytest.raises(UserError, match=f"not of {type(other).__name__}"):
                method(params, stats, batch, jax.random.key(2), noise=other)
    moved = noises[1].replace(z=[z + 1 for z in noises[1].z])  # z_L is the prior's own draw
    elbo = jax.jit(over_top.elbo)
    values = [
        elbo(params, stats, batch, jax.random.key(2), noise=noise).value
        for noise in (noises[1], moved)
    ]
    np.testing.assert_array_equal(*values)


def autoencoder(**fields):
    spec = {"name": "ae", "latent_shape": (2,), "encoder": {"name": "MLP", "width": 2}}
    spec |= {"decoder": {"name": "MLP", "width": 2}}
    return build.build("model", spec | fields, levels=4, input_levels=4)


def test_an_autoencoder_takes_the_noise_of_its_kind():
    batch = images_of((2, 2, 1), 4)
    models = {
        NoNoise: autoencoder(),
        Corruption: autoencoder(kind="denoising", corruption=0.1),
        BallStart: autoencoder(kind="robust", radius=0.1, ascent_steps=1),
        JacobianProbes: autoencoder(kind="contractive", weight=1.0, probes=2),
    }
    exact = autoencoder(kind="contractive", weight=1.0)
    assert type(exact.draw(jax.random.key(1), batch)) is NoNoise
    noises = {kind: m.draw(jax.random.key(1), batch) for kind, m in models.items()}
    params, stats = started(exact, jax.random.key(0), (2, 2, 1))
    for own, model in [*models.items(), (NoNoise, exact)]:
        for kind, noise in noises.items():
            assert type(noise) is kind
            loss = lambda n, m=model: m.loss(
                params, stats, batch, jax.random.key(2), step=0, train=True, noise=n
            )[0]
            if kind is own:
                assert jnp.isfinite(jax.jit(loss)(noise)).all()
                continue
            with pytest.raises(UserError, match=f"{own.__name__}, not of {kind.__name__}"):
                loss(noise)
