"""Samplers and the probability-flow ODE on data whose best denoiser and density are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import filter_jit
from oracles import (
    MEAN,
    STD,
    gaussian_eps_fn,
    linear,
    mixture_eps_fn,
    mixture_log_density,
    t_step_moments,
)
from starting import moved, started

from vdp import nets
from vdp.diffusion import bounds, ode, process, samplers

GAMMA = linear(-6.0, 6.0)
LOG_PROB, TRANSPORT = filter_jit(ode.log_prob), filter_jit(ode.transport)


def moments_at(gamma):
    """Mean and standard deviation of y at gamma over the Gaussian data."""
    a, s = (float(f(jnp.float32(gamma))) for f in (process.alpha, process.sigma))
    return a * MEAN, np.sqrt(a**2 * STD**2 + s**2)


def exact_flow(y_1):
    """Where the Gaussian's probability flow carries y_1: standard scores stay what they are."""
    (m_0, s_0), (m_1, s_1) = moments_at(-6.0), moments_at(6.0)
    return m_0 + s_0 * (y_1 - m_1) / s_1


@pytest.mark.parametrize("num_steps", [2, 50])
def test_ancestral_samples_have_the_exact_t_step_moments(num_steps):
    gamma, shape = linear(-5.0, 5.0), (100_000, 1)
    sample = jax.jit(
        lambda rng: samplers.ancestral(gaussian_eps_fn(), gamma, rng, shape, num_steps=num_steps)
    )
    y_0, denoised = sample(jax.random.key(10))
    g0 = gamma(0.0)
    noise = jnp.exp(g0 / 2) * jax.random.normal(jax.random.key(11), shape)
    u = np.asarray(y_0 / process.alpha(jnp.float32(g0)) + noise, np.float64)
    mean, var = t_step_moments(gamma, num_steps)
    assert abs(u.mean() - mean) < 5 * np.sqrt(var / len(u))
    assert abs(u.var() / var - 1) < 5 * np.sqrt(2 / len(u))
    assert denoised.shape == (num_steps, *shape)


def test_ddim_with_eta_one_is_ancestral():
    args = (gaussian_eps_fn(), GAMMA, jax.random.key(0), (50, 2))
    ddim = filter_jit(samplers.ddim)
    expected, path = filter_jit(samplers.ancestral)(*args, num_steps=9)
    found, other = ddim(*args, num_steps=9, eta=1.0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(path, other, rtol=1e-3, atol=1e-3)
    assert jnp.abs(ddim(*args, num_steps=9, eta=0.5)[0] - expected).max() > 0.01


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp"])
def test_clipping_bounds_what_is_denoised_and_is_no_change_where_nothing_is_cut(sampler):
    args = (sampler, gaussian_eps_fn(), GAMMA, jax.random.key(0), (50, 2))
    draw = filter_jit(samplers.draw)
    plain, path = draw(*args, num_steps=9)
    wide, _ = draw(*args, num_steps=9, clip=100.0)
    np.testing.assert_allclose(wide, plain, atol=1e-4)
    narrow, clipped = draw(*args, num_steps=9, clip=0.3)
    assert jnp.abs(path).max() > 0.5
    assert jnp.abs(clipped).max() <= 0.3 + 1e-4
    np.testing.assert_allclose(clipped[0], jnp.clip(path[0], -0.3, 0.3), atol=1e-4)
    assert jnp.abs(narrow).max() < jnp.abs(plain).max()
    with pytest.raises(ValueError, match="clip"):
        samplers.check(sampler="ode", clip=1.0)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpmpp", 2)])
def test_deterministic_samplers_converge_to_the_flow_at_their_order(sampler, order):
    rng, shape = jax.random.key(1), (200, 1)
    start = jax.random.split(rng)[0] if sampler == "ddim" else rng
    exact = exact_flow(jax.random.normal(start, shape))
    draw = filter_jit(getattr(samplers, sampler))
    errors = [
        float(jnp.abs(draw(gaussian_eps_fn(), GAMMA, rng, shape, num_steps=n)[0] - exact).max())
        for n in (20, 40, 80)
    ]
    ratios = np.array(errors[:-1]) / errors[1:]
    assert np.all(ratios > 2**order * 0.8), errors
    assert errors[-1] < 0.05


def test_a_table_with_an_empty_first_step_leaves_no_nan():
    from vdp.diffusion import schedules

    schedule = schedules.beta_cosine(num_steps=12)
    args = (gaussian_eps_fn(), schedule.bind({}), jax.random.key(2), (20, 1))
    for draw in (samplers.ancestral, samplers.ddim, samplers.dpmpp):
        assert jnp.isfinite(filter_jit(draw)(*args, num_steps=12)[0]).all()


def test_ode_carries_there_and_back():
    y_0 = jax.random.normal(jax.random.key(3), (6, 2))
    y_1 = TRANSPORT(mixture_eps_fn, y_0, -6.0, 6.0, num_steps=48)
    again = TRANSPORT(mixture_eps_fn, y_1, 6.0, -6.0, num_steps=48)
    np.testing.assert_allclose(again, y_0, atol=2e-3)
    assert jnp.abs(y_1 - y_0).max() > 0.1


@pytest.mark.parametrize("num_probes", [0, 2])
def test_ode_density_of_gaussian_data_is_exact(num_probes):
    """Under the ODE model y_0 is the flow of N(0, I), not quite the data's y_0: both are known.

    The Jacobian is diagonal here, so Rademacher probes are exact as well.
    """
    y_0 = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)
    probes = ode.rademacher(jax.random.key(4), y_0.shape, num_probes) if num_probes else None
    found = LOG_PROB(gaussian_eps_fn(), GAMMA, y_0, num_steps=24, probes=probes)
    (m_0, s_0), (m_1, s_1) = moments_at(-6.0), moments_at(6.0)
    std, mean = s_0 / s_1, m_0 - s_0 * m_1 / s_1
    scores = (np.asarray(y_0) - mean) / std
    exact = -0.5 * (np.log(2 * np.pi) + scores**2).sum(1) - 2 * np.log(std)
    np.testing.assert_allclose(found, exact, atol=2e-3)


def test_ode_density_of_a_mixture_is_exact():
    """Two dimensions, three clusters; the exact trace and the mean over Hutchinson's."""
    gamma = linear(-4.0, 9.0)
    y_0 = jnp.array([[0.0, 0.0], [1.4, 0.3], [-1.0, 0.9], [0.3, -1.2]])
    exact = filter_jit(mixture_log_density)(y_0, jnp.full(4, -4.0))
    found = LOG_PROB(mixture_eps_fn, gamma, y_0, num_steps=48)
    np.testing.assert_allclose(found, exact, atol=0.02)
    many = jnp.repeat(y_0, 400, axis=0)
    probes = ode.rademacher(jax.random.key(5), many.shape, 1)
    estimates = LOG_PROB(mixture_eps_fn, gamma, many, num_steps=24, probes=probes)
    estimates = estimates.reshape(4, 400)
    error = estimates.std(1) / np.sqrt(400)
    assert np.all(np.abs(estimates.mean(1) - exact) < 5 * error + 0.02)
    assert np.all(error > 0)


def test_no_bound_of_a_mixture_exceeds_its_density_and_samples_find_its_modes():
    gamma = linear(-4.0, 7.0)
    z = jnp.array([[0.0, 0.0], [1.4, 0.3], [-1.0, 0.9], [0.3, -1.2]])
    # with its best denoiser the model is y_0 of the data, then z = y_0/alpha_0 + noise once more
    draws = jax.lax.map(
        lambda rng: bounds.continuous(mixture_eps_fn, gamma, z, rng, num_times=64).value,
        jax.random.split(jax.random.key(6), 300),
    )
    error = np.asarray(draws).std(0) / np.sqrt(300)
    smoothed = filter_jit(mixture_log_density)(z, None, extra=2 * float(jnp.exp(-4.0)))
    assert np.all(draws.mean(0) < smoothed + 5 * error)
    assert np.all(draws.mean(0) > smoothed - 0.5)
    for draw, steps in ((samplers.ancestral, 100), (samplers.ddim, 50), (samplers.dpmpp, 25)):
        y_0, _ = filter_jit(draw)(
            mixture_eps_fn, gamma, jax.random.key(7), (20_000, 2), num_steps=steps
        )
        found = float((y_0[:, 0] / float(process.alpha(jnp.float32(-4.0))) > 0.7).mean())
        assert abs(found - 0.5) < 0.03, draw.__name__  # the weight of the cluster on the right


@pytest.mark.slow
def test_ode_density_under_a_convolutional_denoiser_is_the_change_of_variables():
    """log N(T(y); 0, I) + log |det dT/dy| for the whole flow T of a network that is no oracle's."""
    net = nets.UNetDenoiser(width=4, depth=1, published=True)
    y = jax.random.normal(jax.random.key(0), (1, 2, 2, 1))
    params, gamma = moved(started(net, jax.random.key(1), y, jnp.zeros(1))), linear(-2.0, 2.0)
    eps_fn = lambda y, gamma: net.apply(params, y, 250 * (gamma + 2))

    @jax.jit
    def flow(y):
        return ode.transport(eps_fn, y.reshape(1, 2, 2, 1), -2.0, 2.0, num_steps=16).reshape(-1)

    @jax.jit
    def estimate(y, key):
        probes = ode.rademacher(key, y.shape, 1000)
        return ode.log_prob(eps_fn, gamma, y, num_steps=16, probes=probes)[0]

    end, jacobian = flow(y.reshape(-1)), jax.jit(jax.jacrev(flow))(y.reshape(-1))
    exact = -0.5 * jnp.sum(end**2 + jnp.log(2 * jnp.pi)) + jnp.linalg.slogdet(jacobian)[1]
    gaussian = -0.5 * jnp.sum(y**2 + jnp.log(2 * jnp.pi))
    assert abs(exact - gaussian) > 0.1
    density = jax.jit(lambda y: ode.log_prob(eps_fn, gamma, y, num_steps=16)[0])
    np.testing.assert_allclose(density(y), exact, atol=2e-3)
    draws = np.array([estimate(y, key) for key in jax.random.split(jax.random.key(3), 16)])
    error = draws.std(ddof=1) / len(draws) ** 0.5
    assert abs(draws.mean() - exact) < 4 * error < 0.15
