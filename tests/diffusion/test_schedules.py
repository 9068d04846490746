"""Schedules: endpoints, monotone, ceilings, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp.diffusion import process, schedules

MAKERS = {
    "linear": lambda: schedules.linear(gamma_0=-9.0, gamma_1=5.0),
    "learned": lambda: schedules.learned_scalar(gamma_0=-9.0, gamma_1=5.0),
    "learned below -8": lambda: schedules.learned_scalar(
        gamma_0=-9.0, gamma_1=5.0, gamma_0_max=-8.0
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_starts_at_its_endpoints_and_increases(name):
    schedule = MAKERS[name]()
    gamma = schedule.bind(schedule.init())
    t = jnp.linspace(0, 1, 33)
    np.testing.assert_allclose([gamma(t[0]), gamma(t[-1])], [-9.0, 5.0], rtol=1e-5)
    assert np.all(np.diff(gamma(t)) > 0)
    np.testing.assert_allclose(schedule.rescaled(jnp.array([-9.0, 5.0])), [0.0, 1000.0], atol=1e-2)


def test_ceiling_holds_for_any_parameters():
    schedule = MAKERS["learned below -8"]()
    for low in (-50.0, 0.0, 50.0):
        gamma = schedule.gamma({"low": jnp.float32(low), "span": jnp.float32(-20.0)}, jnp.zeros(()))
        assert gamma <= -8.0


def test_both_endpoints_receive_gradients():
    schedule = MAKERS["learned"]()
    gradient = jax.grad(lambda p: schedule.gamma(p, jnp.float32(0.5)))(schedule.init())
    assert all(abs(g) > 1e-3 for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("fields", [{"gamma_0": 3.0}, {"gamma_0": -7.0, "gamma_0_max": -8.0}])
def test_impossible_ranges_are_refused(fields):
    with pytest.raises(ValueError, match="must lie below"):
        schedules.learned_scalar(gamma_1=2.0, **fields)


def test_process_is_variance_preserving_in_both_tails():
    gamma = jnp.array([-30.0, -13.3, 0.0, 13.3, 30.0])
    np.testing.assert_allclose(process.alpha(gamma) ** 2 + process.sigma(gamma) ** 2, 1, rtol=1e-6)
    ratio = 2 * (jnp.log(process.sigma(gamma)) - jnp.log(process.alpha(gamma)))
    np.testing.assert_allclose(ratio, gamma, rtol=1e-5, atol=1e-5)


def test_v_and_eps_describe_the_same_denoiser():
    z, eps = jax.random.normal(jax.random.key(0), (2, 5, 3))
    gamma = jnp.linspace(-6, 6, 5)
    y = process.diffuse(z, gamma, eps)
    wide = process.expand(gamma, z)
    v = process.alpha(wide) * eps - process.sigma(wide) * z
    np.testing.assert_allclose(process.to_eps(v, y, gamma, "v"), eps, atol=1e-5)
    np.testing.assert_allclose(process.denoise(y, gamma, eps), z, rtol=1e-2, atol=1e-4)
