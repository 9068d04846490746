"""The laws every prior keeps; a new file in vdp/priors is found by listing the folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, variants
from vdp.dists import Normal

Z_SHAPE = (2,)
SPECS = {name: variants.prior(name, width=16, depth=1) for name in variants.PRIORS}
DEFAULT_VDM = SPECS["vdm"]
# a short range of noise, so that a few steps make a model whose weights can be averaged
SPECS["vdm"] = DEFAULT_VDM | {
    "schedule": {"name": "learned_scalar", "gamma_0": -2.0, "gamma_1": 3.0}
}
SPECS["normal-learned"] = {"name": "normal", "learned": True}
SPECS["vdm-discrete"] = SPECS["vdm"] | {"bound": "discrete", "num_steps": 20}
SPECS["vdm-eps"] = SPECS["vdm"] | {"parameterization": "eps"}
Q = Normal(
    jnp.array([[0.3, -1.0], [1.5, 0.2], [0.0, 0.0]]), jnp.array([[-2.0, 0.5], [-4.0, -1.0], [0, 0]])
)


def make(name, seed=0):
    """The prior with parameters moved off their zero start."""
    prior = build.build("prior", SPECS[name])
    params, stats = prior.init(jax.random.key(seed), Z_SHAPE)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), max(len(leaves), 1))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=False)]
    return prior, jax.tree.unflatten(tree, moved), stats


def test_every_prior_is_under_these_laws():
    assert {spec["name"] for spec in SPECS.values()} == set(build._accepted("prior"))
    assert set(variants.PRIORS) == set(build._accepted("prior"))


@pytest.mark.parametrize("name", SPECS)
def test_value_is_the_sum_of_finite_float32_parts(name):
    prior, params, stats = make(name)
    z, terms = prior.rate(params, stats, Q, jax.random.key(0))
    bound = prior.log_prob_bound(params, stats, z, jax.random.key(1))
    for found in (terms, bound):
        assert found.value.shape == (3,)
        assert found.value.dtype == jnp.float32
        assert jnp.all(jnp.isfinite(found.value))
        np.testing.assert_allclose(found.value, sum(found.parts.values()), rtol=1e-6)
    _, weight = prior.log_prob_weight(params, stats, Q, jax.random.key(2))
    assert weight.shape == (3,)
    assert jnp.all(jnp.isfinite(weight))


@pytest.mark.parametrize("name", SPECS)
def test_gradients_reach_every_parameter(name):
    prior, params, stats = make(name)

    def loss(params):
        return prior.rate(params, stats, Q, jax.random.key(0))[1].value.sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.grad(loss)(params)):
        assert jnp.any(gradient != 0), jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", SPECS)
def test_noise_stands_in_for_the_key_and_jit_changes_nothing(name):
    prior, params, stats = make(name)
    rng = jax.random.key(5)
    noise = prior.draw(rng, 3, Z_SHAPE, purpose="elbo")
    by_key = prior.rate(params, stats, Q, rng)[1].value
    by_noise = prior.rate(params, stats, Q, None, noise=noise)[1].value
    jitted = jax.jit(prior.rate, static_argnums=())(params, stats, Q, rng)[1].value
    np.testing.assert_array_equal(by_key, by_noise)
    np.testing.assert_allclose(by_key, jitted, rtol=1e-4)
    assert all(len(leaf) == 3 for leaf in jax.tree.leaves(noise))


@pytest.mark.parametrize("name", SPECS)
def test_weight_averages_to_the_rate_of_the_same_model(name):
    """E[log p(z)/q(z|x)]: equal to the exact rate, or to the T-step bound of the same T."""
    prior, params, stats = make(name)
    model = prior.discretized(6) if hasattr(prior, "discretized") else prior

    def both(rng):
        a, b = jax.random.split(rng)
        rate = model.rate(params, stats, Q, a)[1].value
        return rate, model.log_prob_weight(params, stats, Q, b)[1]

    rates, weights = jax.lax.map(both, jax.random.split(jax.random.key(6), 4000), batch_size=500)
    error = np.hypot(rates.std(0), weights.std(0)) / np.sqrt(len(rates))
    assert np.all(np.abs(rates.mean(0) - weights.mean(0)) <= 5 * error)
    assert model.bound_model == model.weight_model


@pytest.mark.parametrize("name", SPECS)
def test_density_integrates_to_one_and_samples_have_its_moments(name):
    """The density is E[exp weight], over paths of the T-step model where there are paths."""
    prior, params, stats = make(name)
    model = prior.discretized(6) if hasattr(prior, "discretized") else prior
    axis = jnp.linspace(-20, 20, 61)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    near = Normal(grid, jnp.full_like(grid, -12.0))

    def log_density(rng):
        z, weight = model.log_prob_weight(params, stats, near, rng)
        return weight + near.log_prob(z)

    num = 1 if model.weight_model == "exact" else 400
    draws = jax.lax.map(log_density, jax.random.split(jax.random.key(7), num))
    mass = np.exp(np.asarray(draws, np.float64)).mean(0) * float(axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(mass.sum(), 1.0, atol=0.02)
    samples = model.sample(params, stats, jax.random.key(8), 20_000, z_shape=Z_SHAPE)
    mean = (mass[:, None] * grid).sum(0)
    std = np.sqrt((mass[:, None] * (grid - mean) ** 2).sum(0))
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.05 * std.max())
    np.testing.assert_allclose(samples.std(0), std, rtol=0.05)


def test_normal_prior_is_the_exact_kl():
    prior, params, stats = make("normal-learned")
    p = Normal(jnp.tile(params["mean"], (3, 1)), jnp.tile(params["log_var"], (3, 1)))
    _, terms = prior.rate(params, stats, Q, jax.random.key(0))
    np.testing.assert_allclose(terms.value, -Q.kl(p), rtol=1e-5)


def test_vdm_starts_as_the_standard_normal():
    """With a zero output, v-parameterised: the bound is that of N(0, I), here known exactly."""
    from oracles import smoothed_log_density

    prior = build.build("prior", DEFAULT_VDM)
    params, stats = prior.init(jax.random.key(0), Z_SHAPE)
    z = jnp.array([[0.5, -0.2], [1.0, 2.0]])
    draws = jax.lax.map(
        lambda rng: prior.log_prob_bound(params, stats, z, rng).value,
        jax.random.split(jax.random.key(1), 500),
    )
    exact = smoothed_log_density(np.asarray(z), -10.0, mean=0.0, std=1.0)
    error = np.asarray(draws).std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - exact) < 5 * error + 5e-3)


BAD = [{"bound": "sideways"}, {"parameterization": "w"}, {"num_steps": 0}, {"num_times": 8}]


@pytest.mark.parametrize("field", BAD)
def test_impossible_settings_are_refused(field):
    from vdp.errors import UserError

    with pytest.raises(UserError, match=r"is not one of|at least"):
        build.build("prior", SPECS["vdm"] | field)
