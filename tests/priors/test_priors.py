"""The laws every prior keeps; a new file in vdp/priors is found by listing the folder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build, components, variants
from vdp.checks import check_prior
from vdp.checks.prior_case import STEPS
from vdp.dists import Normal
from vdp.errors import UserError

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
SPECS["vdm-learned"] = SPECS["vdm-discrete"] | {"num_steps": STEPS, "reverse": "learned"}
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
SPECS["flow-spline"] = SPECS["flow"] | {"transform": "spline", "num_bins": 4, "num_flows": 2}
SPECS["trajectory"]["net"] |= {"width": 8, "depth": 1}
SPECS["trajectory"] |= {"num_steps": 2}
SPECS["tarflow"] |= {"num_flows": 1}
SPECS["tarflow"]["net"] |= {"depth": 1}
X_SHAPE = (2, 1, 1)
Q = Normal(
    jnp.array([[0.3, -1.0], [1.5, 0.2], [0.0, 0.0]]), jnp.array([[-2.0, 0.5], [-4.0, -1.0], [0, 0]])
)


def make(name, seed=0):
    """The prior with parameters moved off their zero start."""
    prior = build.build("prior", SPECS[name], input_levels=256)
    params, stats = started(prior, jax.random.key(seed), Z_SHAPE, x_shape=X_SHAPE)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), max(len(leaves), 1))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=False)]
    return prior, jax.tree.unflatten(tree, moved), stats


def test_every_prior_is_under_these_laws():
    assert {spec["name"] for spec in SPECS.values()} == set(components.accepted("prior"))
    assert set(variants.PRIORS) == set(components.accepted("prior"))


# slow, and mostly tested elsewhere: diffusions by "vdm" and the tests of `vdp.diffusion`, splines
# by "flow" and test_flows.py
SLOW = {name for name in SPECS if name.startswith("vdm-")} | {"flow-spline", "tarflow", "ddpm"}
OPEN = {"ddpm": {"the density integrates to one"}}  # on a table a few steps make a rough density


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in SPECS]
)
def test_the_laws(name):
    prior = build.build("prior", SPECS[name], input_levels=256)
    report = check_prior(prior, Z_SHAPE, x_shape=X_SHAPE, name=name)
    assert not report.broken, report
    assert {law.name for law in report.laws if law.held is None} <= OPEN.get(name, set()), report
    assert "samples of given noise are those drawn" in {law.name for law in report.laws}
    assert prior.bound_model == prior.weight_model or prior.bound_model == "T=inf"


def test_merged_weights_average_to_one():
    """E_q(z|c)[r(z)/q(z|c)] = 1, whatever the code: z = y_0/alpha_0 is the latent itself."""
    prior, params, stats = make("vdm-merged")
    model = prior.discretized(6)

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
    params, stats = started(prior, jax.random.key(0), Z_SHAPE)
    z = jnp.array([[0.5, -0.2], [1.0, 2.0]])
    draws = jax.lax.map(
        lambda rng: prior.log_prob_bound(params, stats, z, rng).value,
        jax.random.split(jax.random.key(1), 500),
    )
    exact = smoothed_log_density(np.asarray(z), -10.0, mean=0.0, std=1.0)
    error = np.asarray(draws).std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - exact) < 5 * error + 5e-3)


@pytest.mark.parametrize("bound", ["continuous", "discrete"])
def test_more_times_in_training_leave_the_mean_of_the_loss_and_make_it_less_noisy(bound):
    fields = {"bound": bound, "num_steps": 20}
    spread = []
    for num in (1, 8):
        prior = build.build("prior", SPECS["vdm"] | fields | {"train_times": num})
        params, stats = started(prior, jax.random.key(0), Z_SHAPE)

        def rate(rng, prior=prior, params=params, stats=stats):
            noise = prior.draw(rng, len(Q.mean), Z_SHAPE, purpose="loss")
            return prior.rate(params, stats, Q, rng, noise=noise, train=True)[1].value[0]

        values = np.asarray(jax.vmap(rate)(jax.random.split(jax.random.key(1), 2000)))
        spread.append((values.mean(), values.std()))
    (one, noise), (several, less) = spread
    assert abs(one - several) < 5 * noise / np.sqrt(2000)
    assert less < 0.8 * noise


BAD = [
    {"train_times": 0},
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
    with pytest.raises(UserError, match=r"unknown config\.prior\.\w+ '|at least|importance"):
        build.build("prior", SPECS["vdm"] | field)


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("mixture", {"num_components": 0}, "num_components must be at least 1"),
        ("mixture", {"spread": 0.0}, r"spread must be above 0"),
        ("vamp", {"num_components": 0}, "num_components must be at least 1"),
        ("vdm", {"form": "both"}, "unknown form 'both'; accepted: merged, separate"),
        ("vdm", {"num_times": 31}, "num_times must be at least 32"),
        ("ddpm", {"bound": "discreet"}, r"'discreet' \(did you mean discrete\?\)"),
        ("flow", {"num_flows": 0}, "num_flows must be at least 1"),
        ("trajectory", {"num_steps": 0}, "num_steps must be at least 1"),
    ],
)
def test_a_prior_of_python_is_looked_at_as_one_of_a_config(name, fields, says):
    prior = build.build("prior", SPECS[name], input_levels=256)
    with pytest.raises(UserError, match=says):
        dataclasses.replace(prior, **fields)
