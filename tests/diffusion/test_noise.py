"""Noise says what it is: every estimate takes its own structures, and refuses all others."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import gaussian_eps_fn, linear
from starting import started

from vdp import build
from vdp.diffusion import bounds, ode, paths
from vdp.diffusion.noise import AllSteps, ExactOde, HutchinsonOde, Path, Quantiles, Times
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.priors import ddpm, vdm
from vdp.priors.noise import DiffusionNoise, PosteriorNoise
from vdp.runtime import parallel

Z = jnp.linspace(-1.5, 2.5, 12).reshape(6, 2)
EPS = jnp.ones((6, 3, 2))
GIVEN = {  # one of every structure, for Z
    "Times": Times(t=jnp.full((6, 3), 0.4), eps=EPS),
    "Quantiles": Quantiles(u=jnp.full((6, 3), 0.4), eps=EPS),
    "AllSteps": AllSteps(eps=EPS),
    "Path": Path(steps=jnp.ones((6, 4, 2))),
    "ExactOde": ExactOde(y_0=Z),
    "HutchinsonOde": HutchinsonOde(y_0=Z, probes=EPS),
}
MODEL = gaussian_eps_fn(), linear(-4.0, 4.0), Z
ESTIMATES = {  # what it is made of, of all structures
    "continuous": (lambda n: bounds.continuous(*MODEL, noise=n).value, {"Times", "Quantiles"}),
    "discrete": (
        lambda n: bounds.discrete(*MODEL, num_steps=3, noise=n).value,
        {"Times", "Quantiles", "AllSteps"},
    ),
    "shape": (lambda n: bounds.shape_objective(*MODEL, n), {"Times"}),
    "path": (lambda n: paths.log_weight(*MODEL, n), {"Path"}),
    "walk": (lambda n: paths.walk(*MODEL, n)[1], {"Path"}),
    "ode": (
        lambda n: ode.log_ratio(*MODEL, n, num_steps=2, merged=False),
        {"ExactOde", "HutchinsonOde"},
    ),
    "ode weight": (lambda n: ode.log_weight(*MODEL, n, num_steps=2, merged=True), {"ExactOde"}),
}


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("estimate", ESTIMATES)
def test_an_estimate_is_made_of_its_own_noise_and_refuses_every_other(estimate, kind):
    function, accepted = ESTIMATES[estimate]
    if kind in accepted:
        assert jnp.isfinite(jax.jit(function)(GIVEN[kind])).all()
        return
    with pytest.raises(UserError, match=f"not of {kind}|Hutchinson"):
        function(GIVEN[kind])


def test_a_dict_is_no_noise():
    with pytest.raises(UserError, match="made of Times or Quantiles, not of dict"):
        bounds.continuous(*MODEL, noise={"t": jnp.full((6, 3), 0.4), "eps": EPS})


def test_equal_weights_need_uniform_times_and_all_steps_their_own_number():
    for weights in bounds.WEIGHTS[1:]:
        for bound in (bounds.continuous, lambda *a, **k: bounds.discrete(*a, num_steps=3, **k)):
            with pytest.raises(UserError, match="weights='bound'"):
                bound(*MODEL, noise=GIVEN["Quantiles"], weights=weights)
    with pytest.raises(UserError, match="all 3 steps is not that of a model of 5"):
        bounds.discrete(*MODEL, num_steps=5, noise=GIVEN["AllSteps"])
    with pytest.raises(UserError, match="unknown weights 'equal'; accepted: bound, simple"):
        bounds.continuous(*MODEL, noise=GIVEN["Times"], weights="equal")


@pytest.mark.parametrize("kind", GIVEN)
def test_noise_goes_through_jit_vmap_and_shardings(kind):
    noise = GIVEN[kind]
    same = jax.jit(parallel.batch_constraint(parallel.make_mesh()))(noise)
    rows = jax.vmap(lambda n: n)(jax.tree.map(lambda x: x[:, None], noise))
    assert type(same) is type(rows) is type(noise)
    assert all(len(leaf) == 6 for leaf in jax.tree.leaves(rows))
    jax.tree.map(np.testing.assert_array_equal, noise, same)


def diffusion_prior(**fields):
    spec = {
        "name": "vdm",
        "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1},
        "schedule": {"name": "linear", "gamma_0": -4.0, "gamma_1": 4.0},
        "num_steps": 3,
        "ode_steps": 2,
    }
    return build.build("prior", spec | fields)


Q = Normal(Z, jnp.full_like(Z, -2.0))
DRAWN = {  # (bound, purpose, other fields) -> the structure
    ("continuous", "loss"): Times,
    ("continuous", "elbo"): Times,
    ("continuous", "weight"): Path,
    ("discrete", "loss"): Times,
    ("discrete", "elbo"): AllSteps,
    ("discrete", "weight"): Path,
    ("ode", "elbo"): ExactOde,
    ("ode", "weight"): ExactOde,
}


@pytest.mark.parametrize("form", ["separate", "merged"])
def test_a_diffusion_prior_draws_what_its_estimates_are_made_of(form):
    for (bound, purpose), kind in DRAWN.items():
        noise = diffusion_prior(bound=bound, form=form).draw(
            jax.random.key(0), 6, (2,), purpose=purpose
        )
        assert type(noise) is DiffusionNoise
        assert type(noise.diffusion) is kind, (bound, purpose)
    loss = dict(purpose="loss")
    importance = diffusion_prior(times="importance", form=form)
    assert type(importance.draw(jax.random.key(0), 6, (2,), **loss).diffusion) is Quantiles
    strata = diffusion_prior(bound="discrete", num_steps=50, num_strata=32, form=form)
    times = strata.draw(jax.random.key(0), 6, (2,), purpose="elbo").diffusion
    assert times.t.shape == (6, 32)
    probed = diffusion_prior(bound="ode", ode_probes=2, form=form)
    drawn = [probed.draw(jax.random.key(0), 6, (2,), purpose=p) for p in ("elbo", "weight")]
    assert [type(noise.diffusion) for noise in drawn] == [HutchinsonOde, ExactOde]


@pytest.mark.parametrize("form", ["separate", "merged"])
@pytest.mark.parametrize("bound", ["continuous", "discrete", "ode"])
def test_a_diffusion_prior_refuses_the_noise_of_another_estimate(bound, form):
    prior = diffusion_prior(bound=bound, form=form)
    params, _ = started(prior, jax.random.key(0), (2,))
    takes = {
        "rate": ESTIMATES["ode" if bound == "ode" else bound][1],
        "log_prob_weight": {"ExactOde"} if bound == "ode" else {"Path"},
    }
    for method, accepted in takes.items():
        for name, diffusion in GIVEN.items():
            noise = DiffusionNoise(z=Z, diffusion=diffusion)
            of = lambda n, m=method: getattr(prior, m)(params, {}, Q, None, noise=n)[1]
            estimate = lambda n, of=of: jax.eval_shape(of, n)
            if name in accepted:
                assert jax.tree.leaves(estimate(noise))[0].shape == (6,)
                continue
            with pytest.raises(UserError, match=f"not of {name}|Hutchinson"):
                estimate(noise)
        with pytest.raises(UserError, match="DiffusionNoise, not of PosteriorNoise"):
            estimate(PosteriorNoise(z=Z))


def test_a_path_belongs_to_the_model_of_its_number_of_steps():
    prior = diffusion_prior()
    params, _ = started(prior, jax.random.key(0), (2,))
    noise = prior.discretized(5).draw(jax.random.key(1), 6, (2,), purpose="weight")
    with pytest.raises(UserError, match="path of 5 steps is none of the model T=3"):
        prior.log_prob_weight(params, {}, Q, None, noise=noise)


def test_the_density_of_the_ode_is_not_trained():
    """It used to be the bound in continuous time that was, without a word."""
    prior = diffusion_prior(bound="ode")
    says = r"bound='continuous' or 'discrete', and evaluate with eval.estimators=elbo_ode"
    with pytest.raises(UserError, match=says):
        prior.draw(jax.random.key(0), 6, (2,), purpose="loss")
    params, _ = started(prior, jax.random.key(0), (2,))
    noise = prior.draw(jax.random.key(0), 6, (2,), purpose="elbo")
    with pytest.raises(UserError, match=says):
        prior.rate(params, {}, Q, jax.random.key(1), noise=noise, train=True)
    with pytest.raises(UserError, match="purpose 'iwae'; accepted: elbo, loss, sample, weight"):
        prior.draw(jax.random.key(0), 6, (2,), purpose="iwae")


def test_training_an_ode_from_the_command_line_is_refused(refused, tmp_path):
    refused(
        "--config=digits_vae:smoke",
        f"--workdir={tmp_path / 'run'}",
        "--config.model.prior.bound=ode",
        says=["evaluate with eval.estimators=elbo_ode"],
    )


def test_a_latent_of_the_merged_form_has_the_density_of_the_ode_alone():
    for bound in ("continuous", "discrete"):
        prior = diffusion_prior(form="merged", bound=bound)
        params, _ = started(prior, jax.random.key(0), (2,))
        with pytest.raises(UserError, match="as_ode"):
            prior.log_prob_bound(params, {}, Z, jax.random.key(1))
    flow = dataclasses.replace(prior, ode_probes=2).as_ode()
    noise = flow.draw(jax.random.key(2), 6, (2,), purpose="elbo")
    by_noise = flow.log_prob_bound(params, {}, Z, None, noise=noise).value
    probes = noise.diffusion.probes
    gamma, eps_fn = flow.schedule.bind({}), flow.eps_fn(params)
    alpha_0 = jax.nn.sigmoid(4.0) ** 0.5
    density = ode.log_prob(eps_fn, gamma, alpha_0 * Z, num_steps=2, probes=probes)
    np.testing.assert_allclose(by_noise, density + 2 * jnp.log(alpha_0), rtol=1e-5)
    with pytest.raises(UserError, match="not of Times"):
        flow.log_prob_bound(
            params, {}, Z, None, noise=DiffusionNoise(z=Z, diffusion=GIVEN["Times"])
        )


def test_an_exact_density_takes_a_posterior_draw():
    prior = build.build("prior", {"name": "normal"})
    own, other = PosteriorNoise(z=jnp.ones_like(Z)), DiffusionNoise(z=Z, diffusion=GIVEN["Times"])
    for method in (prior.rate, prior.log_prob_weight):
        z, _ = method({}, {}, Q, None, noise=own)
        np.testing.assert_allclose(z, Q.sample(jnp.ones_like(Z)))
        with pytest.raises(UserError, match="PosteriorNoise, not of DiffusionNoise"):
            method({}, {}, Q, None, noise=other)


def test_a_shape_is_learned_at_uniform_times():
    prior = diffusion_prior(schedule={"name": "learned_monotone", "width": 3})
    params, _ = started(prior, jax.random.key(0), (2,))
    noise = DiffusionNoise(z=Z, diffusion=GIVEN["Quantiles"])
    with pytest.raises(UserError, match="learned shape is made of Times"):
        prior.rate(params, {}, Q, jax.random.key(1), noise=noise, train=True)


def test_the_maker_of_tables_takes_the_fields_of_every_diffusion_prior_but_the_schedule():
    accepted = set(inspect.signature(ddpm.make).parameters)
    assert accepted == set(inspect.signature(vdm.make).parameters) - {"schedule"} | {"betas"}
    spec = {"name": "ddpm", "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1}}
    assert build.build("prior", spec | {"num_strata": 32, "ode_probes": 2}).ode_probes == 2
    assert build.build("prior", spec).bound == "discrete"
    for field, value in {"schedule": {"name": "linear"}, "fields": 3, "num_step": 3}.items():
        with pytest.raises(UserError, match=r"accepted: betas, bound, .*, num_strata, .*, weights"):
            build.build("prior", spec | {field: value})
    with pytest.raises(UserError, match=r"config\.prior\.betas 'square'; accepted: cosine, linear"):
        build.build("prior", spec | {"betas": "square"})
