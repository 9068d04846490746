"""What diffusion priors add to a loss for its gradient, and is zero in value or is not said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp import build
from vdp.diffusion import bounds, distillation
from vdp.dists import Normal

SHAPE, NUM = (3,), 6
Q = Normal(0.5 * jnp.arange(18.0).reshape(6, 3) - 4.0, jnp.full((6, 3), -3.0))
SPEC = {
    "name": "vdm",
    "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1},
    "schedule": {"name": "linear", "gamma_0": -4.0, "gamma_1": 3.0},
}


def of(**fields):
    """(prior, moved parameters, stats, a noise of its loss)."""
    prior = build.build("prior", SPEC | fields)
    params, stats = started(prior, jax.random.key(0), SHAPE)
    return prior, moved(params), stats, prior.draw(jax.random.key(2), NUM, SHAPE, purpose="loss")


def trained(prior, params, stats, noise, key=3):
    """Minus the rate of a training step, for every example."""
    how = dict(noise=noise, train=True)
    return -prior.rate(params, stats, Q, jax.random.key(key), **how)[1].value


def agree(found, expected):
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 1e-3
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, found, expected)


@pytest.mark.parametrize("form", ["separate", "merged"])
def test_the_shape_of_a_schedule_goes_down_its_objective(form):
    prior, params, stats, noise = of(form=form, schedule={"name": "learned_monotone"})
    z = Q.mean if prior.merged else Q.sample(noise.z)

    def objective(shape):
        params_ = params | {"schedule": params["schedule"] | {"shape": shape}}
        given = (prior.eps_fn(params_), prior._gamma(params_, "shape"), z, noise.diffusion)
        return bounds.shape_objective(*given).mean()

    def loss(shape):
        params_ = params | {"schedule": params["schedule"] | {"shape": shape}}
        return trained(prior, params_, stats, noise).mean()

    shape = params["schedule"]["shape"]
    agree(jax.jit(jax.grad(loss))(shape), jax.jit(jax.grad(objective))(shape))


def test_a_student_goes_down_the_distance_to_its_teacher():
    prior, params, stats, noise = of(bound="discrete", num_steps=3, teacher_steps=2)
    stats = {"teacher": {"denoiser": moved(params["denoiser"], seed=5, scale=0.3)}}
    z = Q.sample(noise.z)

    def objective(denoiser):
        student = prior.eps_fn(params | {"denoiser": denoiser})
        given = (student, prior.eps_fn(stats["teacher"]), prior._gamma(params), z, noise.diffusion)
        return distillation.objective(*given, num_steps=3, teacher_steps=2).sum()

    def loss(denoiser):
        return trained(prior, params | {"denoiser": denoiser}, stats, noise).sum()

    denoiser = params["denoiser"]
    agree(jax.jit(jax.grad(loss))(denoiser), jax.jit(jax.grad(objective))(denoiser))


def test_a_denoiser_drops_units_in_training_alone():
    denoiser = SPEC["denoiser"] | {"dropout": 0.5}
    prior, params, stats, noise = of(denoiser=denoiser)
    first, second = (trained(prior, params, stats, noise, key) for key in (3, 4))
    assert np.all(first != second)
    evaluated = lambda key: prior.rate(params, stats, Q, jax.random.key(key), noise=noise)[1].value
    np.testing.assert_array_equal(evaluated(3), evaluated(4))
