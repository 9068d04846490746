"""Pixel-space diffusion with other ends than its bound: bins that are drawn from, and students."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp import build
from vdp.diffusion import process
from vdp.dists import Normal
from vdp.nets import MLPDenoiser
from vdp.types import Batch

SHAPE, LEVELS = (2, 2, 1), 4
IMAGES = np.array([[0, 3, 1, 2], [3, 3, 0, 0], [1, 1, 1, 1], [0, 0, 3, 2]], np.uint8)
LINEAR = {"name": "linear", "gamma_0": -1.0, "gamma_1": 5.0}


def pixel(*, fields, **prior):
    spec = {"name": "vdm", "form": "merged", "denoiser": {"name": "MLPDenoiser"}} | prior
    built = build.build(
        "model", {"name": "pixel", "prior": spec} | fields, levels=LEVELS, input_levels=LEVELS
    )
    net = MLPDenoiser(width=8, depth=1)
    return dataclasses.replace(built, prior=dataclasses.replace(built.prior, denoiser=net))


def batch_of(images):
    images = jnp.asarray(images, jnp.uint8).reshape(-1, *SHAPE)
    return Batch(target=images, input=images, label=jnp.zeros(len(images), jnp.int32))


def test_uniform_dequantisation_is_the_density_times_the_volume_of_a_bin():
    """With a zero v-output the flow is the identity, so that z is N(0, 1/alpha_0^2)."""
    fields = {"likelihood": {"name": "categorical"}, "location": "noisy"}
    fields |= {"dequantization": "uniform"}
    uniform = pixel(fields=fields, schedule=LINEAR, ode_probes=1, parameterization="v").as_ode()
    params, stats = started(uniform, jax.random.key(0), SHAPE)
    batch = batch_of(IMAGES)
    noise = uniform.draw(jax.random.key(1), batch, purpose="elbo")
    elbo = jax.jit(lambda rng: uniform.elbo(params, stats, batch, rng, noise=noise))
    terms = elbo(jax.random.key(2))
    z = 2 * (np.asarray(batch.target) + 0.5 + np.asarray(noise.bins)) / LEVELS - 1
    alpha_0 = process.alpha(jnp.float32(-1.0))
    variance = jnp.full(z.shape, -2 * jnp.log(alpha_0))
    expected = Normal(jnp.zeros(z.shape), variance).log_prob(z) + 4 * np.log(2 / LEVELS)
    np.testing.assert_allclose(terms.value, expected, rtol=1e-4)
    again = elbo(jax.random.key(9))
    np.testing.assert_array_equal(again.value, terms.value)  # nothing random but the noise
    assert noise.prior.diffusion.probes.shape == (4, 1, *SHAPE)
    assert set(terms.parts) == {"density", "bins"}
    assert np.abs(noise.bins).max() <= 0.5


@pytest.mark.parametrize("location", ["noisy", "denoised"])
def test_a_student_goes_down_its_distillation_alone(location):
    """No end term trains it, whose likelihood may see what it has denoised."""
    likelihood = {"noisy": "categorical", "denoised": "discretized_normal"}[location]
    student = pixel(
        fields={"likelihood": {"name": likelihood}, "location": location},
        schedule=LINEAR, bound="discrete", num_steps=3, teacher_steps=2,
    )  # fmt: skip
    params, stats = started(student, jax.random.key(0), SHAPE)
    params = moved(params)
    denoiser = params["prior"]["denoiser"]
    teacher = {"denoiser": moved(denoiser, seed=5, scale=0.3)}
    stats = stats | {"prior": stats["prior"] | {"teacher": teacher}}
    batch = batch_of(IMAGES)
    noise = student.draw(jax.random.key(1), batch, purpose="loss")
    given = dict(step=0, train=True, noise=noise)

    def with_denoiser(of):
        return params | {"prior": params["prior"] | {"denoiser": of}}

    def loss(of):
        value, aux = student.loss(with_denoiser(of), stats, batch, jax.random.key(2), **given)
        return value.sum(), aux.terms

    def distillation(of):
        _, terms = loss(of)
        return -terms.parts["diffusion"].sum()

    found, terms = jax.jit(jax.grad(loss, has_aux=True))(denoiser)
    expected = jax.jit(jax.grad(distillation))(denoiser)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 1e-3
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, found, expected)
    np.testing.assert_allclose(terms.value, sum(terms.parts.values()), rtol=1e-5)
