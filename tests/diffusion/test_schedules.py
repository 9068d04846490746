"""Schedules: endpoints, monotone, ceilings, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import draws
from vdp.diffusion import process, schedules

MAKERS = {
    "linear": lambda: schedules.linear(gamma_0=-9.0, gamma_1=5.0),
    "learned": lambda: schedules.learned_scalar(gamma_0=-9.0, gamma_1=5.0),
    "learned below -8": lambda: schedules.learned_scalar(
        gamma_0=-9.0, gamma_1=5.0, gamma_0_max=-8.0
    ),
    "cosine": lambda: schedules.cosine(gamma_0=-9.0, gamma_1=5.0),
    "monotone": lambda: schedules.learned_monotone(gamma_0=-9.0, gamma_1=5.0, width=5),
}


@pytest.mark.parametrize("name", MAKERS)
def test_starts_at_its_endpoints_and_increases(name):
    schedule = MAKERS[name]()
    gamma = schedule.bind(schedule.init())
    t = jnp.linspace(0, 1, 33)
    np.testing.assert_allclose([gamma(t[0]), gamma(t[-1])], [-9.0, 5.0], rtol=2e-5)
    assert np.all(np.diff(gamma(t)) > 0)
    np.testing.assert_allclose(schedule.rescaled(jnp.array([-9.0, 5.0])), [0.0, 1000.0], atol=1e-2)


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_arguments_give_an_equal_schedule(name):
    assert MAKERS[name]() == MAKERS[name]()
    assert MAKERS[name]() not in [MAKERS[other]() for other in MAKERS if other != name]


def test_ceiling_holds_for_any_parameters():
    schedule = MAKERS["learned below -8"]()
    for low in (-50.0, 0.0, 50.0):
        gamma = schedule.gamma({"low": jnp.float32(low), "span": jnp.float32(-20.0)}, jnp.zeros(()))
        assert gamma <= -8.0


def test_both_endpoints_receive_gradients():
    schedule = MAKERS["learned"]()
    gradient = jax.grad(lambda p: schedule.gamma(p, jnp.float32(0.5)))(schedule.init())
    assert all(abs(g) > 1e-3 for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"gamma_0": 3.0}, "gamma_1 = 2.0"),
        ({"gamma_0": -7.0, "gamma_0_max": -8.0}, "gamma_0_max = -8"),
    ],
)
def test_impossible_ranges_are_refused(fields, bound):
    with pytest.raises(ValueError, match=f"must lie below {bound}"):
        schedules.learned_scalar(gamma_1=2.0, **fields)


@pytest.mark.parametrize(
    ("maker", "ends"),
    [(schedules.beta_linear, (-9.21, 10.12)), (schedules.beta_cosine, (-10.09, 19.84))],
)
def test_tables_of_betas(maker, ends):
    """The published ranges, the betas back from gamma, and an empty first step."""
    schedule = maker(num_steps=1000)
    gamma = schedule.bind(schedule.init())
    np.testing.assert_allclose([gamma(0.0), gamma(1.0)], ends, atol=6e-3)
    assert gamma(0.0) == gamma(1 / 1000)
    table = np.asarray(gamma(jnp.arange(1, 1001) / 1000), np.float64)
    abar = 1 / (1 + np.exp(table))
    betas = 1 - abar[1:] / abar[:-1]
    if maker is schedules.beta_linear:
        np.testing.assert_allclose(betas, np.linspace(1e-4, 0.02, 1000)[1:], rtol=2e-3)
    else:
        assert betas[-1] == pytest.approx(0.999, rel=1e-3)
        f = lambda i: np.cos((i / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        np.testing.assert_allclose(betas[498], 1 - f(500) / f(499), rtol=2e-3)
    halfway = gamma((500.5) / 1000)
    np.testing.assert_allclose(halfway, (table[499] + table[500]) / 2, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 2"):
        maker(num_steps=1)


def test_cosine_is_the_angle_schedule():
    """alpha = cos(a + b t): gamma = 2 log tan of the angle."""
    gamma = schedules.cosine(gamma_0=-9.0, gamma_1=5.0).bind({})
    angle = np.arctan(np.exp(np.array([-4.5, 2.5])))
    middle = process.alpha(gamma(jnp.float32(0.5)))
    np.testing.assert_allclose(middle, np.cos(angle.mean()), rtol=1e-5)


@pytest.mark.parametrize("end", [6.0, 30.0, 40.0])
def test_cosine_keeps_both_ends_and_its_slope(end):
    """Angles close to pi/2 are none in float32: at 30 the noisy end was 0.9 off."""
    gamma = schedules.cosine(gamma_0=-end, gamma_1=end).bind({})
    found = gamma(jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found, [-end, 0.0, end], rtol=1e-5, atol=1e-5)
    slope = np.pi / 2 - 2 * np.arctan(np.exp(-end / 2))
    of_log_tan = jax.grad(gamma)(jnp.float32(0.5)), 4 * slope  # d 2 log tan(x) = 4 / sin(2x)
    np.testing.assert_allclose(*of_log_tan, rtol=1e-5)


def test_monotone_network_stays_monotone_and_exact_at_its_ends():
    schedule = MAKERS["monotone"]()
    params = jax.tree.map(
        lambda x: x + 2.0 * draws.normal(jax.random.key(3), x.shape), schedule.init()
    )
    gamma = schedule.bind(params)
    assert np.all(np.diff(gamma(jnp.linspace(0, 1, 200))) >= 0)
    low, span = params["low"], jax.nn.softplus(params["span"])
    np.testing.assert_allclose(gamma(jnp.array([0.0, 1.0])), [low, low + span], rtol=1e-5)
    frozen = jax.grad(lambda p: schedule.bind(p, live="ends")(jnp.float32(0.3)))(params)
    assert all(float(jnp.abs(g).max()) == 0 for g in jax.tree.leaves(frozen["shape"]))
    assert frozen["low"] != 0
    inner = jax.grad(lambda p: schedule.bind(p, live="shape")(jnp.float32(0.3)))(params)
    assert inner["low"] == 0
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(inner["shape"]))


def test_process_is_variance_preserving_in_both_tails():
    gamma = jnp.array([-30.0, -13.3, 0.0, 13.3, 30.0])
    np.testing.assert_allclose(process.alpha(gamma) ** 2 + process.sigma(gamma) ** 2, 1, rtol=1e-6)
    ratio = 2 * (jnp.log(process.sigma(gamma)) - jnp.log(process.alpha(gamma)))
    np.testing.assert_allclose(ratio, gamma, rtol=1e-5, atol=1e-5)


def test_v_eps_and_x0_describe_the_same_denoiser():
    z, eps = draws.normal(jax.random.key(0), (2, 5, 3))
    gamma = jnp.linspace(-6, 6, 5)
    y = process.diffuse(z, gamma, eps)
    wide = process.expand(gamma, z)
    v = process.alpha(wide) * eps - process.sigma(wide) * z
    np.testing.assert_allclose(process.to_eps(v, y, gamma, "v"), eps, atol=1e-5)
    np.testing.assert_allclose(process.to_eps(eps, y, gamma, "eps"), eps)
    np.testing.assert_allclose(process.to_eps(z, y, gamma, "x0"), eps, atol=1e-4)
    np.testing.assert_allclose(process.denoise(y, gamma, eps), z, rtol=1e-2, atol=1e-4)
