"""Temperatures of priors: a factor on standard deviations, nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.diffusion import samplers
from vdp.diffusion.schedules import linear

SPECS = {
    "normal": {"name": "normal", "learned": False},
    "mixture": {"name": "mixture", "num_components": 3},
    "flow": {"name": "flow", "net": {"name": "MADE", "width": 8, "depth": 1}, "num_flows": 2},
}


@pytest.mark.parametrize("name", SPECS)
def test_deviations_scale_and_centres_stay(name):
    prior = build.build("prior", SPECS[name])
    params, stats = started(prior, jax.random.key(0), (4,))
    draw = lambda t: prior.sample(params, stats, jax.random.key(1), 50, z_shape=(4,), temperature=t)
    cold, half, warm = draw(0.0), draw(0.5), draw(1.0)
    np.testing.assert_array_equal(warm, prior.sample(
        params, stats, jax.random.key(1), 50, z_shape=(4,)
    ))  # fmt: skip
    np.testing.assert_allclose(half - cold, 0.5 * (warm - cold), atol=1e-5)
    assert len(np.unique(np.round(cold, 4), axis=0)) == {"mixture": 3}.get(name, 1)


def test_ancestral_steps_scale_and_their_start_does_not():
    """With eps_hat = 0 the one step is a Gaussian around a multiple of y_1."""
    schedule = linear(gamma_0=-3.0, gamma_1=3.0)
    gamma = schedule.bind({})
    zero = lambda y, g: jnp.zeros_like(y)
    draw = lambda t: samplers.ancestral(
        zero, gamma, jax.random.key(0), (5000, 1), num_steps=1, temperature=t
    )[0]
    cold, warm = draw(0.0), draw(1.0)
    np.testing.assert_allclose(draw(0.5) - cold, 0.5 * (warm - cold), atol=1e-5)
    scale = np.sqrt(jax.nn.sigmoid(3.0) / jax.nn.sigmoid(-3.0))  # alpha_0/alpha_1, of y_1 ~ N(0, 1)
    assert abs(float(cold.std()) / scale - 1) < 0.05


def test_a_diffusion_prior_scales_its_steps_its_last_noise_and_its_widths():
    spec = {"name": "vdm", "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1}}
    spec |= {"schedule": {"name": "linear", "gamma_0": -2.0, "gamma_1": 3.0}, "num_steps": 1}
    prior = build.build("prior", spec | {"bound": "discrete", "reverse": "learned"})
    params, stats = started(prior, jax.random.key(0), (2,))

    def draw(temperature, last, log_v=0.0):
        widths = jnp.full_like(params["reverse"]["log_v"], log_v)
        given = params | {"reverse": params["reverse"] | {"log_v": widths}}
        how = dict(z_shape=(2,), temperature=temperature, last_noise=last)
        return prior.sample(given, stats, jax.random.key(1), 500, **how)

    steps = draw(1.0, False) - draw(0.0, False)
    assert float(steps.std()) > 0.1
    np.testing.assert_allclose(draw(0.5, False) - draw(0.0, False), 0.5 * steps, atol=1e-5)
    twice = draw(1.0, False, 2 * np.log(2)) - draw(0.0, False, 2 * np.log(2))
    np.testing.assert_allclose(twice, 2 * steps, rtol=1e-4, atol=1e-5)
    last = draw(1.0, True) - draw(1.0, False)
    np.testing.assert_allclose(last.std(), np.exp(-1.0), rtol=0.1)
    np.testing.assert_allclose(draw(0.5, True) - draw(0.5, False), 0.5 * last, atol=1e-5)


def test_without_its_last_noise_a_latent_is_the_mean_of_what_is_drawn():
    spec = {"name": "vdm", "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1}}
    spec |= {"schedule": {"name": "linear", "gamma_0": -2.0, "gamma_1": 3.0}, "num_steps": 2}
    draws = {}
    for form in ("separate", "merged"):
        prior = build.build("prior", spec | {"form": form})
        params, stats = started(prior, jax.random.key(0), (2,))
        how = dict(z_shape=(2,), sampler="ancestral")
        draws[form] = [
            prior.sample(params, stats, jax.random.key(1), 4000, last_noise=last, **how)
            for last in (True, False)
        ]
    (noisy, mean), (merged, same) = draws["separate"], draws["merged"]
    np.testing.assert_array_equal(merged, same)
    np.testing.assert_array_equal(mean, merged)
    np.testing.assert_allclose((noisy - mean).std(), np.exp(-1.0), rtol=0.03)


def test_only_the_ancestral_sampler_has_a_temperature():
    with pytest.raises(ValueError, match="ancestral"):
        samplers.check(sampler="ddim", temperature=0.5)
    with pytest.raises(ValueError, match="negative"):
        samplers.check(temperature=-1.0)
    samplers.check(temperature=0.5)
