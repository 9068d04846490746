"""The laws every prior keeps; a new file in vdp/priors is found by listing the folder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, variants
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.priors.diffusion import DiffusionPrior
from vdp.priors.noise import DiffusionNoise, PosteriorNoise

Z_SHAPE = (2,)
DEFAULT = {"schedule": "learned_scalar", "form": "separate"}
SPECS = {
    name: variants.prior(DEFAULT | {"prior": name}, width=16, depth=1) for name in variants.PRIORS
}
DEFAULT_VDM = SPECS["vdm"]
# a short range of noise, so that a few steps make a model whose weights can be averaged
SPECS["vdm"] = DEFAULT_VDM | {
    "schedule": {"name": "learned_scalar", "gamma_0": -2.0, "gamma_1": 3.0}
}
SPECS["normal-learned"] = {"name": "normal", "learned": True}
SPECS["vdm-discrete"] = SPECS["vdm"] | {"bound": "discrete", "num_steps": 20}
SPECS["vdm-eps"] = SPECS["vdm"] | {"parameterization": "eps"}
SPECS["vdm-x0-importance"] = SPECS["vdm"] | {"parameterization": "x0", "times": "importance"}
SPECS["vdm-ode"] = SPECS["vdm"] | {"bound": "ode", "ode_steps": 12}
SPECS["vdm-merged"] = SPECS["vdm"] | {"form": "merged"}
SPECS["vdm-monotone"] = SPECS["vdm"] | {
    "schedule": {"name": "learned_monotone", "gamma_0": -2.0, "gamma_1": 3.0, "width": 4}
}
SPECS["ddpm"] |= {"num_steps": 20, "weights": "simple"}
SPECS["mixture"] |= {"num_components": 3, "spread": 1.5}
SPECS["vamp"] |= {"num_components": 3}
SPECS["flow"]["net"] |= {"width": 8}
# those whose weights are the ones of "vdm", a merged prior's (below), or of a table, which in a few
# steps vary too much
NO_DENSITY = {name for name in SPECS if name.startswith("vdm-")} - {"vdm-ode"} | {"ddpm"}
X_SHAPE = (2, 1, 1)
Q = Normal(
    jnp.array([[0.3, -1.0], [1.5, 0.2], [0.0, 0.0]]), jnp.array([[-2.0, 0.5], [-4.0, -1.0], [0, 0]])
)


def encode(images):
    """An encoder for priors over data space: images [K, 2, 1, 1] in [0, 1] to q."""
    mean = 4 * images[:, :, 0, 0] - 2
    return Normal(mean, jnp.full_like(mean, -0.5))


def make(name, seed=0):
    """The prior with parameters moved off their zero start."""
    prior = build.build("prior", SPECS[name], input_levels=256)
    params, stats = prior.init(jax.random.key(seed), Z_SHAPE, x_shape=X_SHAPE)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), max(len(leaves), 1))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=False)]
    return prior, jax.tree.unflatten(tree, moved), stats


def few_steps(prior):
    """The model of `log_prob_weight`, with few enough steps that its weights can be averaged."""
    if not isinstance(prior, DiffusionPrior) or prior.bound == "ode":
        return prior
    return prior.discretized(6)


def test_every_prior_is_under_these_laws():
    assert {spec["name"] for spec in SPECS.values()} == set(build._accepted("prior"))
    assert set(variants.PRIORS) == set(build._accepted("prior"))


@pytest.mark.parametrize("name", SPECS)
def test_value_is_the_sum_of_finite_float32_parts(name):
    prior, params, stats = make(name)
    z, terms = prior.rate(params, stats, Q, jax.random.key(0), encode=encode)
    dense = prior.as_ode() if name == "vdm-merged" else prior  # no bound of a latent but the ODE's
    bound = dense.log_prob_bound(params, stats, z, jax.random.key(1), encode=encode)
    for found in (terms, bound):
        assert found.value.shape == (3,)
        assert found.value.dtype == jnp.float32
        assert jnp.all(jnp.isfinite(found.value))
        np.testing.assert_allclose(found.value, sum(found.parts.values()), rtol=1e-6)
    _, weight = prior.log_prob_weight(params, stats, Q, jax.random.key(2), encode=encode)
    assert weight.shape == (3,)
    assert jnp.all(jnp.isfinite(weight))


@pytest.mark.parametrize("name", SPECS)
def test_gradients_reach_every_parameter(name):
    prior, params, stats = make(name)
    train = name != "vdm-ode"  # which is evaluated alone

    def loss(params):
        noise = prior.draw(jax.random.key(0), 3, Z_SHAPE, purpose="loss" if train else "elbo")
        how = dict(encode=encode, noise=noise, train=train)
        return prior.rate(params, stats, Q, jax.random.key(1), **how)[1].value.sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.grad(loss)(params)):
        assert jnp.any(gradient != 0), jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", SPECS)
def test_noise_stands_in_for_the_key_and_jit_changes_nothing(name):
    prior, params, stats = make(name)
    rng = jax.random.key(5)
    noise = prior.draw(rng, 3, Z_SHAPE, purpose="elbo")
    by_key = prior.rate(params, stats, Q, rng, encode=encode)[1].value
    by_noise = prior.rate(params, stats, Q, None, encode=encode, noise=noise)[1].value
    jitted = jax.jit(functools.partial(prior.rate, encode=encode))(params, stats, Q, rng)[1].value
    assert type(noise) is (DiffusionNoise if isinstance(prior, DiffusionPrior) else PosteriorNoise)
    np.testing.assert_array_equal(by_key, by_noise)
    np.testing.assert_allclose(by_key, jitted, rtol=1e-4)
    assert all(len(leaf) == 3 for leaf in jax.tree.leaves(noise))


@pytest.mark.parametrize("name", SPECS)
def test_weight_averages_to_the_rate_of_the_same_model(name):
    """E[log p(z)/q(z|x)]: equal to the exact rate, or to the T-step bound of the same T."""
    prior, params, stats = make(name)
    model = few_steps(prior)

    def both(rng):
        a, b = jax.random.split(rng)
        rate = model.rate(params, stats, Q, a, encode=encode)[1].value
        return rate, model.log_prob_weight(params, stats, Q, b, encode=encode)[1]

    num = 1000 if name == "vdm-ode" else 4000
    rates, weights = jax.lax.map(both, jax.random.split(jax.random.key(6), num), batch_size=500)
    error = np.hypot(rates.std(0), weights.std(0)) / np.sqrt(len(rates))
    assert np.all(np.abs(rates.mean(0) - weights.mean(0)) <= 5 * error)
    assert model.bound_model == model.weight_model


SLOW_DENSITIES = ("vdm-ode", "vdm-eps", "vdm-discrete")  # "vdm" is looked at every time


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW_DENSITIES else [])
        for name in sorted(SPECS.keys() - NO_DENSITY)
    ],
)
def test_density_integrates_to_one_and_samples_have_its_moments(name):
    """The density is E[exp weight], over paths of the T-step model where there are paths."""
    prior, params, stats = make(name)
    model = few_steps(prior)
    fine = model.weight_model == "ode"  # its density has features of the untrained network's size
    axis = jnp.linspace(-7, 7, 141) if fine else jnp.linspace(-12, 12, 49)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    near = Normal(grid, jnp.full_like(grid, -12.0))

    def log_density(rng):
        z, weight = model.log_prob_weight(params, stats, near, rng, encode=encode)
        return weight + near.log_prob(z)

    num = {"exact": 1, "ode": 4}.get(model.weight_model, 400)
    draws = jax.lax.map(log_density, jax.random.split(jax.random.key(7), num))
    mass = np.exp(np.asarray(draws, np.float64)).mean(0) * float(axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(mass.sum(), 1.0, atol=0.02)
    samples = model.sample(params, stats, jax.random.key(8), 20_000, z_shape=Z_SHAPE, encode=encode)
    mean = (mass[:, None] * grid).sum(0)
    std = np.sqrt((mass[:, None] * (grid - mean[None]) ** 2).sum(0))
    np.testing.assert_allclose(samples.mean(0), mean, atol=(0.1 if fine else 0.05) * std.max())
    np.testing.assert_allclose(samples.std(0), std, rtol=0.05)


def test_merged_weights_average_to_one():
    """E_q(z|c)[r(z)/q(z|c)] = 1, whatever the code: z = y_0/alpha_0 is the latent itself."""
    prior, params, stats = make("vdm-merged")
    model = few_steps(prior)

    def draw(rng):
        z, weight = model.log_prob_weight(params, stats, Q, rng)
        return z, jnp.exp(weight)

    z, ratio = jax.lax.map(draw, jax.random.split(jax.random.key(1), 20_000), batch_size=1000)
    error = np.asarray(ratio, np.float64).std(0) / np.sqrt(len(ratio))
    near = error < 0.05  # of a code far out in the prior the weights have no useful mean
    assert near.any()
    assert np.all(np.abs(ratio.mean(0) - 1)[near] < 5 * error[near])
    log_var = float(prior.posterior_log_var(params))
    np.testing.assert_allclose(z.mean(0), Q.mean, atol=5 * np.exp(log_var / 2) / np.sqrt(len(z)))
    np.testing.assert_allclose(z.std(0), np.exp(log_var / 2), rtol=0.03)


def test_merged_loses_the_end_term_and_the_entropy():
    """At one code: merged = separate without H[q] - L0, so the KL of two Gaussians at T = 1."""
    separate, merged = (
        build.build("prior", SPECS["vdm"] | {"form": f}) for f in ("separate", "merged")
    )
    params, stats = merged.init(jax.random.key(0), Z_SHAPE)
    noise = merged.draw(jax.random.key(1), 3, Z_SHAPE, purpose="elbo")
    found = merged.rate(params, stats, Q, None, noise=noise)[1]
    assert set(found.parts) == {"latent_1", "diffusion"}
    at_code = Normal(Q.mean, jnp.full_like(Q.mean, -60.0))
    other = separate.rate(params, stats, at_code, None, noise=noise)[1]
    for part, value in found.parts.items():
        np.testing.assert_allclose(value, other.parts[part], rtol=1e-3, err_msg=part)
    # the density of the latent itself is the ODE's; here, at the start, that of N(0, I) shrunk
    z = jnp.array([[0.2, -1.0]])
    exact = Normal(jnp.zeros((1, 2)), jnp.zeros((1, 2))).log_prob(z)
    bound = merged.as_ode().log_prob_bound(params, stats, z, None).value
    scale = float(jax.nn.sigmoid(-prior_gamma_0(merged, params)))
    shrunk = Normal(jnp.zeros((1, 2)), jnp.full((1, 2), -np.log(scale))).log_prob(z)
    np.testing.assert_allclose(bound, shrunk, atol=2e-3)
    assert abs(float(exact[0] - bound[0])) > 0.05


def prior_gamma_0(prior, params):
    return prior.posterior_log_var(params)


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


BAD = [
    {"bound": "sideways"},
    {"parameterization": "w"},
    {"num_steps": 0},
    {"num_times": 8},
    {"form": "both"},
    {"times": "importance", "weights": "simple"},
    {"times": "importance", "schedule": {"name": "learned_monotone"}},
]


@pytest.mark.parametrize("field", BAD)
def test_impossible_settings_are_refused(field):
    with pytest.raises(UserError, match=r"is not one of|at least|importance"):
        build.build("prior", SPECS["vdm"] | field)
