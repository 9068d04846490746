"""What a student of fewer steps is taught: to end where its teacher ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import gaussian_eps_fn, linear, mixture_eps_fn

from vdp import draws
from vdp.diffusion import distillation, process, samplers
from vdp.diffusion.noise import Start, Times

GAMMA = linear(-4.0, 5.0)
Y = draws.normal(jax.random.key(0), (6, 2))


def falling(start, end, num):
    gammas = jnp.asarray(GAMMA(jnp.linspace(start, end, num + 1)))
    return jnp.tile(gammas[:, None], (1, 6))


def test_of_one_step_the_target_is_what_the_teacher_says():
    found = distillation.target(mixture_eps_fn, Y, falling(0.8, 0.5, 1))
    expected = mixture_eps_fn(Y, falling(0.8, 0.5, 1)[0])
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("num", [2, 5])
def test_one_step_with_the_target_ends_where_the_steps_of_the_teacher_end(num):
    """Against the sampler DDIM itself, from t = 1 to 0."""
    gammas = falling(1.0, 0.0, num)
    eps = distillation.target(mixture_eps_fn, Y, gammas)
    end = process.diffuse(process.denoise(Y, gammas[0], eps), gammas[-1], eps)
    y_0, _ = samplers.ddim(mixture_eps_fn, GAMMA, None, Y.shape, num_steps=num, noise=Start(y_1=Y))
    np.testing.assert_allclose(end, y_0, atol=1e-4)
    assert np.abs(eps - mixture_eps_fn(Y, gammas[0])).max() > 0.01


def test_the_objective_is_the_weighted_distance_of_denoised_latents():
    """At one time of each example; its gradient reaches the student alone."""
    t = jnp.array([[0.1], [0.3], [0.45], [0.6], [0.8], [0.99]])
    noise = Times(t=t, eps=draws.normal(jax.random.key(1), (6, 1, 2)))
    z = draws.normal(jax.random.key(2), (6, 2))
    how = dict(num_steps=4, teacher_steps=2)
    teacher = gaussian_eps_fn()

    def value(mean, z):
        return distillation.objective(gaussian_eps_fn(mean), teacher, GAMMA, z, noise, **how)

    ends = (jnp.floor(4 * t[:, 0]) + 1) / 4
    gammas = jnp.stack([jnp.asarray(GAMMA(ends - i / 8)) for i in range(3)])
    y = process.diffuse(z, gammas[0], noise.eps[:, 0])
    x = process.denoise(y, gammas[0], distillation.target(teacher, y, gammas))
    x_hat = process.denoise(y, gammas[0], gaussian_eps_fn(0.1)(y, gammas[0]))
    snr = np.exp(-np.asarray(gammas[0]))
    expected = np.maximum(snr, 1) * np.square(x - x_hat).sum(1)
    np.testing.assert_allclose(value(0.1, z), expected, rtol=1e-3)
    by_mean, by_z = jax.grad(lambda *args: value(*args).sum(), argnums=(0, 1))(0.1, z)
    assert abs(by_mean) > 0.1
    assert not by_z.any()


def test_a_step_without_width_is_left_to_the_teacher():
    still = jnp.zeros((3, 6))
    found = distillation.target(mixture_eps_fn, Y, still)
    np.testing.assert_allclose(found, mixture_eps_fn(Y, still[0]), atol=1e-5)
