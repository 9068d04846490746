"""The diffusion bounds against exact densities of Gaussian data with its oracle denoiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import filter_jit
from oracles import gaussian_eps_fn, linear, smoothed_log_density, with_error

from vdp.diffusion import bounds, process, times
from vdp.diffusion.noise import AllSteps, Quantiles, Times
from vdp.dists import Normal, standard_normal

# jitted as a whole: otherwise every operation is compiled by itself
CONTINUOUS, DISCRETE = filter_jit(bounds.continuous), filter_jit(bounds.discrete)

Z = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)


@pytest.mark.parametrize(("gamma_0", "gamma_1"), [(-8.0, 6.0), (-4.0, 3.0)])
def test_continuous_bound_with_the_oracle_equals_the_exact_density(gamma_0, gamma_1):
    gamma = linear(gamma_0, gamma_1)

    def draw(rng):
        return bounds.continuous(gaussian_eps_fn(), gamma, Z, rng, num_times=64).value

    mean, se = with_error(jax.lax.map(draw, jax.random.split(jax.random.key(0), 400)))
    exact = smoothed_log_density(np.asarray(Z), gamma_0)
    # the end term's model N(0, I) is not the data's y_1: what that costs is exact too
    a1, s1 = float(process.alpha(jnp.float32(gamma_1))), float(process.sigma(jnp.float32(gamma_1)))
    z = np.asarray(Z)
    m, v = a1 * 0.7, a1**2 * 0.36 + s1**2  # moments of y_1 over the data
    second = (a1 * z) ** 2 + s1**2
    log_q = -0.5 * (np.log(2 * np.pi * v) + (second - 2 * m * a1 * z + m**2) / v)
    log_p = -0.5 * (np.log(2 * np.pi) + second)
    exact = exact + np.sum(log_p - log_q, axis=1)
    assert np.all(np.abs(mean - exact) < 5 * se + 2e-3), (mean, exact, se)
    assert np.all(se < 0.15)


def test_a_worse_denoiser_gives_a_lower_bound():
    gamma, rng = linear(-6.0, 6.0), jax.random.key(1)
    z = 0.7 + 0.6 * jax.random.normal(rng, (64, 2))
    good = CONTINUOUS(gaussian_eps_fn(), gamma, z, rng).value.mean()
    for worse in (gaussian_eps_fn(0.0, 1.0), lambda y, g: jnp.zeros_like(y)):
        assert CONTINUOUS(worse, gamma, z, rng).value.mean() < good - 0.1


def test_what_rounds_up_to_the_end_is_of_the_last_step():
    gamma, eps_fn, num_steps = linear(-6.0, 6.0), gaussian_eps_fn(), 3
    eps = jax.random.normal(jax.random.key(3), (len(Z), 1, 2))
    of = lambda noise: DISCRETE(eps_fn, gamma, Z, num_steps=num_steps, noise=noise)
    at = lambda t: of(Times(t=jnp.full((len(Z), 1), t), eps=eps)).value
    np.testing.assert_array_equal(at(1.0), at(0.95))
    quantile = lambda u: of(Quantiles(u=jnp.full((len(Z), 1), u), eps=eps)).value
    np.testing.assert_array_equal(quantile(1.0), quantile(1 - 2**-23))
    assert not np.array_equal(quantile(1.0), quantile(0.0))


def test_t_step_bound_falls_to_the_continuous_one():
    gamma, rng = linear(-6.0, 6.0), jax.random.key(2)
    z = jnp.repeat(Z, 50, axis=0)
    steps = (5, 20, 80, 1000)
    values = [
        float(DISCRETE(gaussian_eps_fn(), gamma, z, rng, num_steps=n).value.mean()) for n in steps
    ]
    continuous = CONTINUOUS(gaussian_eps_fn(), gamma, z, rng, num_times=1000).value.mean()
    assert values == sorted(values)
    assert values[0] < continuous - 1.0
    assert abs(values[-1] - continuous) < 0.1


def test_t_step_bound_sums_every_step_once():
    gamma, num_steps = linear(-5.0, 4.0), 7
    eps = jax.random.normal(jax.random.key(3), (len(Z), num_steps, 2))
    noise = AllSteps(eps=eps)
    found = DISCRETE(gaussian_eps_fn(), gamma, Z, num_steps=num_steps, noise=noise)
    middles = jnp.tile((jnp.arange(num_steps) + 0.5) / num_steps, (len(Z), 1))
    noise = Times(t=middles, eps=eps)  # every time falls into its step
    same = DISCRETE(gaussian_eps_fn(), gamma, Z, num_steps=num_steps, noise=noise)
    np.testing.assert_array_equal(found.value, same.value)
    expected = 0.0
    for i in range(1, num_steps + 1):
        g_t, g_s = gamma(i / num_steps), gamma((i - 1) / num_steps)
        e = eps[:, i - 1]
        y = process.alpha(g_t) * Z + process.sigma(g_t) * e
        error = jnp.sum((e - gaussian_eps_fn()(y, jnp.full(len(Z), g_t))) ** 2, -1)
        expected -= 0.5 * (jnp.exp(g_t - g_s) - 1) * error
    np.testing.assert_allclose(found.parts["diffusion"], expected, rtol=1e-5)
    # the training estimator takes one step and has the same mean
    draws = jax.jit(
        jax.vmap(
            lambda rng: (
                bounds.discrete(
                    gaussian_eps_fn(),
                    gamma,
                    Z,
                    num_steps=num_steps,
                    noise=bounds.draw(rng, Z.shape, times.low_discrepancy, 1),
                ).value
            )
        )
    )(jax.random.split(jax.random.key(4), 4000))
    full = jax.jit(
        jax.vmap(
            lambda rng: bounds.discrete(gaussian_eps_fn(), gamma, Z, rng, num_steps=num_steps).value
        )
    )(jax.random.split(jax.random.key(5), 2000))
    (one, se_one), (all_steps, se_all) = with_error(draws), with_error(full)
    assert np.all(np.abs(one - all_steps) < 5 * np.hypot(se_one, se_all))


def test_end_terms_are_the_gaussian_expressions():
    gamma = linear(-3.0, 2.0)
    terms = CONTINUOUS(gaussian_eps_fn(), gamma, Z, jax.random.key(0))
    g1 = jnp.float32(2.0)
    q_1 = Normal(process.alpha(g1) * Z, jnp.full_like(Z, jnp.log(process.sigma(g1) ** 2)))
    np.testing.assert_allclose(terms.parts["latent_1"], -q_1.kl(standard_normal(Z)), rtol=1e-5)
    end = Normal(jnp.zeros_like(Z), jnp.full_like(Z, -3.0))
    np.testing.assert_allclose(terms.parts["latent_0"], -end.entropy(), rtol=1e-5)
    np.testing.assert_allclose(terms.value, sum(terms.parts.values()), rtol=1e-6)


def test_training_times_are_one_grid_over_the_batch():
    t = np.sort(np.asarray(times.low_discrepancy(jax.random.key(0), 16, 1))[:, 0])
    np.testing.assert_allclose(np.diff(t), 1 / 16, atol=1e-6)
    assert t.min() >= 0 and t.max() < 1  # noqa: PT018
    first = [times.low_discrepancy(jax.random.key(i), 16, 1)[0, 0] for i in range(300)]
    assert abs(np.mean(first) - 0.5) < 5 * 0.29 / np.sqrt(300)
    several = np.asarray(times.low_discrepancy(jax.random.key(0), 8, 4))
    assert several.shape == (8, 4)
    np.testing.assert_allclose(np.diff(np.sort(several.ravel())), 1 / 32, atol=1e-6)


def test_evaluation_times_have_one_draw_in_every_stratum():
    t = np.asarray(times.stratified(jax.random.key(0), 5, 8))
    assert np.array_equal(np.floor(t * 8), np.tile(np.arange(8), (5, 1)))
    assert len(np.unique(t[:, 0])) == 5


def test_importance_of_times_changes_the_variance_and_not_the_mean():
    gamma = linear(-6.0, 6.0)

    def draw(key, eps_fn=gaussian_eps_fn(), grid=times.low_discrepancy):
        noise = bounds.draw(key, Z.shape, grid, 1)
        other = Quantiles(u=noise.t, eps=noise.eps)
        of = lambda n, steps: (
            (
                bounds.discrete(eps_fn, gamma, Z, num_steps=steps, noise=n)
                if steps
                else bounds.continuous(eps_fn, gamma, Z, noise=n)
            ).value
        )
        return of(noise, 0), of(other, 0), of(noise, 9), of(other, 9)

    draws = jax.lax.map(draw, jax.random.split(jax.random.key(10), 8000), batch_size=1000)
    for uniform, importance in (draws[:2], draws[2:]):
        (a, se_a), (b, se_b) = with_error(uniform), with_error(importance)
        assert np.all(np.abs(a - b) < 5 * np.hypot(se_a, se_b))
        assert np.mean(se_b) < 0.7 * np.mean(se_a)


def test_importance_is_finite_up_to_its_last_quantile():
    """One float below 1, on a range whose end has sigma^2 = 1 to rounding."""
    gamma = times.by_importance(linear(-10.0, 19.8))
    u = jnp.array([0.0, 0.5, 0.999, 1 - 2**-24], jnp.float32)
    found, slope = jax.jvp(gamma, (u,), (jnp.ones_like(u),))
    assert jnp.isfinite(found).all() and jnp.isfinite(slope).all()  # noqa: PT018
    assert np.all(np.diff(found) > 0)
    exact = 10.0 * 2.0**-24  # -log sigma^2, beside which the end's own is nothing
    np.testing.assert_allclose(found[-1], -np.log(np.expm1(exact)), atol=0.05)
    np.testing.assert_allclose(found[0], -10.0, rtol=1e-5)


def test_importance_of_steps_has_the_exact_mean():
    """Summed over every step by its probability, the estimate is the sum over all steps."""
    eps_fn, gamma, num_steps = gaussian_eps_fn(), linear(-5.0, 4.0), 6
    gammas = gamma(jnp.arange(num_steps + 1) / num_steps)
    p = np.asarray(times.step_probabilities(gammas), np.float64)
    assert abs(p.sum() - 1) < 1e-6
    edges = np.concatenate([[0], np.cumsum(p)])
    u = jnp.float32((edges[1:] + edges[:-1]) / 2)
    eps = jax.random.normal(jax.random.key(11), (len(Z), num_steps, 2))
    total = 0.0
    for i in range(num_steps):
        noise = Quantiles(u=jnp.full((len(Z), 1), u[i]), eps=eps[:, i : i + 1])
        one = DISCRETE(eps_fn, gamma, Z, num_steps=num_steps, noise=noise)
        total += p[i] * one.parts["diffusion"]
    noise = AllSteps(eps=eps)
    full = DISCRETE(eps_fn, gamma, Z, num_steps=num_steps, noise=noise)
    np.testing.assert_allclose(total, full.parts["diffusion"], rtol=1e-4)


@pytest.mark.parametrize("weights", bounds.WEIGHTS)
def test_simple_weights_reach_the_denoiser_and_nothing_else(weights):
    """Values are the bound's; gradients are compared with those written out by hand."""
    noise = bounds.draw(jax.random.key(12), Z.shape, times.stratified, 4)
    gamma_of = lambda p: lambda t: p["low"] + (5.0 - p["low"]) * t
    eps_fn_of = lambda w: lambda y, g: w * jnp.tanh(y) + 0.01 * process.expand(g, y)

    def terms(p, z, weights):
        eps_fn = eps_fn_of(p["w"])
        return bounds.discrete(
            eps_fn, gamma_of(p), z, num_steps=5, noise=noise, weights=weights
        ).value.sum()

    def simple(p, z):
        step = 1 + jnp.floor(5 * noise.t)
        g = gamma_of(p)(step / 5)
        ones = jnp.ones_like(g)
        return -bounds.weighted_errors(eps_fn_of(p["w"]), g, ones, z, noise.eps).mean(1).sum()

    p = {"w": jnp.float32(0.8), "low": jnp.float32(-4.0)}
    differentiated = filter_jit(jax.value_and_grad(terms, argnums=(0, 1)))
    value, (by_p, by_z) = differentiated(p, Z, weights)
    bound, (true_p, true_z) = differentiated(p, Z, "bound")
    simple_p, simple_z = jax.jit(jax.grad(simple, argnums=(0, 1)))(p, Z)
    end_z = jax.jit(jax.grad(lambda z: bounds.latent_1(gamma_of(p)(1.0), z).sum()))(Z)
    np.testing.assert_allclose(value, bound, rtol=1e-5)
    expected_w = true_p["w"] if weights == "bound" else simple_p["w"]
    expected_z = simple_z + end_z if weights == "simple_all" else true_z
    np.testing.assert_allclose(by_p["w"], expected_w, rtol=1e-4)
    np.testing.assert_allclose(by_z, expected_z, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_p["low"], true_p["low"], rtol=1e-3)
    assert abs(float(simple_p["w"] / true_p["w"]) - 1) > 0.05


def test_inner_shape_is_trained_for_the_variance_of_the_estimate():
    """The gradient is that of mean(L^2) / 2D, and of the parts of a batch; the value is zero."""
    from vdp.diffusion import schedules

    schedule = schedules.learned_monotone(gamma_0=-8.0, gamma_1=6.0, width=3)
    params = schedule.init()
    z = 0.7 + 0.6 * jax.random.normal(jax.random.key(13), (512, 2))
    noise = bounds.draw(jax.random.key(14), z.shape, times.low_discrepancy, 1)
    eps_fn = gaussian_eps_fn()

    @jax.jit
    def losses(params):
        terms = bounds.continuous(eps_fn, schedule.bind(params), z, noise=noise)
        return -terms.parts["diffusion"]

    def objective(params, parts=1):
        live = schedule.bind(params, live="shape")
        part = lambda i: jax.tree.map(lambda x: x[i::parts], (z, noise))
        each = (bounds.shape_objective(eps_fn, live, *part(i)).mean() for i in range(parts))
        return sum(each) / parts

    value, gradient = jax.jit(jax.value_and_grad(objective))(params)
    assert value == 0
    assert gradient["low"] == gradient["span"] == 0
    second = jax.jit(jax.grad(lambda p: jnp.mean(losses(p) ** 2) / (2 * z.shape[1])))(params)
    of_parts = jax.jit(jax.grad(lambda p: objective(p, parts=8)))(params)
    for name, found in gradient["shape"].items():
        np.testing.assert_allclose(found, second["shape"][name], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(found, of_parts["shape"][name], rtol=1e-3)
    before = float(losses(params).std())
    move = lambda x, g: x - 0.02 * g / (1e-6 + jnp.abs(g))
    step = jax.jit(lambda p: jax.tree.map(move, p, jax.grad(objective)(p)))
    for _ in range(60):
        params = step(params)
    assert float(losses(params).std()) < 0.8 * before
    ends = schedule.bind(params)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(ends, [-8.0, 6.0], rtol=1e-5)
