"""Samples of given noise: those of the key it was drawn with; every other noise is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.diffusion.noise import Descent, Start
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.priors.noise import BaseNoise, MixtureNoise, PosteriorNoise, SamplerNoise, VampNoise

SHAPE, NUM, KEY = (2,), 5, jax.random.key(3)
VDM = {
    "name": "vdm",
    "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1},
    "schedule": {"name": "linear", "gamma_0": -3.0, "gamma_1": 3.0},
    "num_steps": 3,
    "ode_steps": 2,
}
DENSITIES = {
    "normal": ({"name": "normal", "learned": True}, BaseNoise),
    "flow": ({"name": "flow", "net": {"name": "MADE", "width": 4}, "num_flows": 2}, BaseNoise),
    "mixture": ({"name": "mixture", "num_components": 3}, MixtureNoise),
    "vamp": ({"name": "vamp", "num_components": 3}, VampNoise),
}
SAMPLERS = {  # options, the noise of the sampler, T
    "default": ({}, Descent, 3),
    "ancestral": ({"sampler": "ancestral", "sampler_steps": 2, "temperature": 0.5}, Descent, 2),
    "ddim": ({"sampler": "ddim"}, Start, 0),
    "ddim random": ({"sampler": "ddim", "eta": 0.5, "clip": 1.0}, Descent, 3),
    "dpmpp": ({"sampler": "dpmpp", "sampler_steps": 4, "last_noise": False}, Start, 0),
    "ode": ({"sampler": "ode"}, Start, 0),
}


def encode(images):
    return Normal(4 * images[:, :, 0, 0] - 2, -images[:, :, 0, 0])


def made(spec):
    prior = build.build("prior", spec, input_levels=4)
    return prior, *started(prior, jax.random.key(0), SHAPE, x_shape=(2, 1, 1))


def sampled(prior, params, stats, rng, num=NUM, **options):
    return prior.sample(params, stats, rng, num, z_shape=SHAPE, encode=encode, **options)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_of_a_density(name):
    spec, kind = DENSITIES[name]
    prior, params, stats = made(spec)
    noise = prior.draw(KEY, NUM, SHAPE, purpose="sample")
    assert type(noise) is kind
    assert all(len(leaf) == NUM for leaf in jax.tree.leaves(noise))
    given = sampled(prior, params, stats, None, noise=noise)
    np.testing.assert_array_equal(given, sampled(prior, params, stats, KEY))
    moved = noise.replace(z=noise.z + 1)
    assert not np.allclose(given, sampled(prior, params, stats, None, noise=moved))
    with pytest.raises(UserError, match=f"{kind.__name__}, not of PosteriorNoise"):
        sampled(prior, params, stats, None, noise=PosteriorNoise(z=noise.z))
    with pytest.raises(UserError, match=r"needs noise of the shape \(4, 2\), not \(5, 2\)"):
        sampled(prior, params, stats, None, num=4, noise=noise)
    with pytest.raises(UserError, match="needs a key, or `noise=`"):
        sampled(prior, params, stats, None)
    with pytest.raises(UserError, match=f"PosteriorNoise, not of {kind.__name__}"):
        prior.rate(params, stats, encode(jnp.zeros((NUM, 2, 1, 1))), None, noise=noise)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in ("ode", "ancestral") else [])
        for n in SAMPLERS
    ],
)
def test_samples_of_a_diffusion(name):
    options, kind, steps = SAMPLERS[name]
    prior, params, stats = made(VDM)
    noise = prior.draw(KEY, NUM, SHAPE, purpose="sample", **options)
    assert type(noise.sampler) is kind
    if steps:
        assert noise.sampler.steps.shape == (NUM, steps, *SHAPE)
    both = [
        sampled(prior, params, stats, rng, noise=given, **options)
        for rng, given in ((KEY, None), (None, noise))
    ]
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)
    y_1 = noise.sampler.y_1
    other = Start(y_1=y_1) if kind is Descent else Descent(y_1=y_1, steps=y_1[:, None])
    with pytest.raises(UserError, match=f"{kind.__name__}, not of {type(other).__name__}"):
        sampled(prior, params, stats, None, noise=noise.replace(sampler=other), **options)


def test_the_noise_of_a_diffusion_is_one_of_its_own_steps_and_purpose():
    prior, params, stats = made(VDM)
    noise = prior.draw(KEY, NUM, SHAPE, purpose="sample", sampler_steps=4)
    with pytest.raises(UserError, match=r"of the shape \(5, 3, 2\), not \(5, 4, 2\)"):
        sampled(prior, params, stats, None, noise=noise)
    with pytest.raises(UserError, match="SamplerNoise, not of DiffusionNoise"):
        sampled(prior, params, stats, None, noise=prior.draw(KEY, NUM, SHAPE, purpose="weight"))
    with pytest.raises(UserError, match="options sampler_steps are of purpose='sample'"):
        prior.draw(KEY, NUM, SHAPE, purpose="elbo", sampler_steps=4)
    with pytest.raises(UserError, match=r"eta=0\.5 belongs to"):
        prior.draw(KEY, NUM, SHAPE, purpose="sample", eta=0.5)
    ode = dataclasses.replace(prior, bound="ode")
    assert type(ode.draw(KEY, NUM, SHAPE, purpose="sample")) is SamplerNoise
