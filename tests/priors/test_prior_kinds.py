"""What is particular to each prior: exact densities, inverses, starts, options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.special import logsumexp
from starting import moved, started

from vdp import build, draws, variants
from vdp.diffusion import process, reverse
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.variants.priors import SCHEDULES

Z = jax.random.normal(jax.random.key(0), (5, 3))


def test_mixture_is_joint_over_the_dimensions():
    """Against scipy's multivariate normals; mixing each dimension on its own is another density."""
    prior = build.build("prior", {"name": "mixture", "num_components": 4, "spread": 2.0})
    params, _ = started(prior, jax.random.key(1), (3,))
    assert params["mean"].std() > 1.0
    params = moved(params, seed=9, scale=0.3)
    pi = np.asarray(jax.nn.softmax(params["logits"]))
    each = [
        scipy_stats.multivariate_normal(m, np.diag(np.exp(v))).logpdf(np.asarray(Z))
        for m, v in zip(np.asarray(params["mean"]), np.asarray(params["log_var"]), strict=True)
    ]
    exact = logsumexp(np.array(each).T, axis=1, b=pi)
    np.testing.assert_allclose(prior.log_prob(params, {}, Z), exact, rtol=1e-5)


def test_vamp_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    prior = build.build("prior", {"name": "vamp", "num_components": 4}, input_levels=256)
    encode = lambda images: Normal(
        images.reshape(len(images), -1)[:, :3] * 3, 0.1 - images[:, :3, 0, 0]
    )
    params, _ = started(prior, jax.random.key(2), (3,), x_shape=(4, 1, 1))
    q = encode(prior.pseudo_inputs(params))
    each = [Normal(m[None], v[None]).log_prob(Z) for m, v in zip(q.mean, q.log_var, strict=True)]
    exact = logsumexp(np.array(each), axis=0) - np.log(4)
    np.testing.assert_allclose(prior.log_prob(params, {}, Z, encode), exact, rtol=1e-5)


def test_vamp_starts_at_training_images_and_stays_in_their_range():
    images = np.random.default_rng(0).integers(0, 17, size=(30, 2, 2, 1)).astype(np.uint8)
    prior = build.build("prior", {"name": "vamp", "num_components": 30}, input_levels=17)
    params, _ = started(prior, jax.random.key(0), (3,), x_shape=(2, 2, 1), data=jnp.asarray(images))
    found = np.asarray(prior.pseudo_inputs(params)).reshape(30, -1)
    expected = np.clip(images / 16, 0.02, 0.98).reshape(30, -1)
    order = lambda rows: rows[np.lexsort(rows.T.round(3))]
    np.testing.assert_allclose(order(found), order(expected), atol=1e-5)
    far = jax.tree.map(lambda x: x + 100.0, params)
    assert prior.pseudo_inputs(far).max() <= 1.0


@pytest.mark.parametrize("z_shape", [(3,), (2, 2, 1), (1,)])
def test_flow_inverse_and_log_determinant(z_shape):
    spec = {"name": "flow", "net": {"name": "MADE", "width": 16, "depth": 2}, "num_flows": 3}
    prior = build.build("prior", spec)
    params, _ = started(prior, jax.random.key(3), z_shape)
    params = moved(params, seed=9, scale=0.3)
    z = jax.random.normal(jax.random.key(4), (6, *z_shape))
    e, log_det = jax.jit(prior.forward)(params, z)
    np.testing.assert_allclose(jax.jit(prior.inverse)(params, e), z, atol=2e-4)

    def flat(one):
        return prior.forward(params, one.reshape(1, *z_shape))[0].reshape(-1)

    jacobians = jax.jit(jax.vmap(jax.jacobian(flat)))(z.reshape(6, -1))
    jacobians = np.asarray(jacobians, np.float64)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobians)[1], atol=1e-3)
    if len(jacobians[0]) > 1:
        assert np.abs(jacobians[:, 0, 1:]).max() > 1e-3  # reversing lets every z reach every e


@pytest.mark.parametrize(("width", "dims"), [(32, 4), (4, 9)])
def test_made_output_i_sees_all_inputs_before_i_and_no_other(width, dims):
    from vdp.nets import MADE

    net = MADE(width=width, depth=2)
    params = moved(started(net, jax.random.key(0), jnp.zeros((1, dims))), seed=9, scale=0.3)
    for output in (0, 1):  # mean, log-scale
        one = lambda z, o=output: net.apply(params, z[None])[o][0]
        jacobian = np.abs(jax.jit(jax.jacobian(one))(jnp.ones(dims)))
        assert np.all(np.triu(jacobian) == 0)
        assert np.all(jacobian[np.tril_indices(dims, -1)] > 0)


@pytest.mark.parametrize("betas", ["linear", "cosine"])
def test_ddpm_is_the_t_step_model_of_its_table(betas):
    spec = {"name": "ddpm", "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1}}
    prior = build.build("prior", spec | {"betas": betas, "num_steps": 50})
    assert prior.bound_model == prior.weight_model == "T=50"
    assert prior.schedule.grid == 50
    params, _ = started(prior, jax.random.key(0), (3,))
    noise = prior.draw(jax.random.key(1), 5, (3,), purpose="elbo")
    assert noise.diffusion.eps.shape == (5, 50, 3)
    # the zero network is eps_hat = sigma y, so E|eps - eps_hat|^2 = alpha^4 + sigma^2 alpha^2 z^2
    if betas == "linear":
        beta = np.minimum(np.linspace(1e-4, 0.02, 50) * 20, 0.999)
        abar = np.cumprod(1 - beta)
    else:
        f = np.cos((np.arange(51) / 50 + 0.008) / 1.008 * np.pi / 2) ** 2
        abar = np.cumprod(np.maximum(f[1:] / f[:-1], 0.001))
    snr, z2 = abar / (1 - abar), np.asarray(Z, np.float64)[None] ** 2
    a, s = abar[1:, None, None], 1 - abar[1:, None, None]
    transitions = (0.5 * (snr[:-1] / snr[1:] - 1)[:, None, None] * (a**2 + s * a * z2)).sum((0, 2))
    end = 0.5 * (s[-1] + a[-1] * z2[0] - 1 - np.log(s[-1])).sum(-1)
    clean = 1.5 * (1 + np.log(2 * np.pi) - np.log(snr[0]))
    draws = jax.lax.map(
        lambda rng: prior.log_prob_bound(params, {}, Z, rng).value,
        jax.random.split(jax.random.key(2), 500),
    )
    error = np.asarray(draws, np.float64).std(0) / np.sqrt(500)
    assert np.all(np.abs(draws.mean(0) + transitions + end + clean) < 5 * error)


def test_simple_weights_leave_the_value_as_it_is_on_the_steepest_table():
    """The last step of the cosine table weighs 5e5: rounding there would be nats."""
    spec = {"name": "ddpm", "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1}}
    spec |= {"num_steps": 1000, "parameterization": "eps"}
    bound, simple = (build.build("prior", spec | {"weights": w}) for w in ("bound", "simple"))
    params, _ = started(bound, jax.random.key(0), (3,))
    params = moved(params, seed=9)
    noise = bound.draw(jax.random.key(1), 5, (3,), purpose="elbo")
    q = Normal(Z, jnp.zeros_like(Z))
    of = lambda prior: jax.jit(lambda noise: prior.rate(params, {}, q, None, noise=noise)[1].value)
    values = [of(prior)(noise) for prior in (bound, simple)]
    np.testing.assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("form", ["separate", "merged"])
def test_every_schedule_and_form_of_the_preset_builds(schedule, form):
    variant = {"prior": "vdm", "schedule": schedule, "form": form}
    prior = build.build("prior", variants.prior(variant, width=8, log_var_floor=-5.0))
    assert prior.merged == (form == "merged")
    assert prior.schedule.gamma_0_max <= -5.0 or (form == "merged" and "learned" in schedule)
    params, _ = started(prior, jax.random.key(0), (3,))
    q = Normal(Z, jnp.full_like(Z, -4.0))
    noise = prior.draw(jax.random.key(1), 5, (3,), purpose="loss")
    rate = jax.jit(lambda key: prior.rate(params, {}, q, key, noise=noise, train=True)[1].value)
    assert jnp.isfinite(rate(jax.random.key(2))).all()
    assert (prior.note is None) == (not schedule.startswith("beta"))


def test_samplers_are_chosen_by_name_and_refuse_what_they_do_not_know():
    spec = {
        "name": "vdm",
        "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1},
        "schedule": {"name": "linear", "gamma_0": -6.0, "gamma_1": 6.0},
    }
    prior = build.build("prior", spec)
    params, _ = started(prior, jax.random.key(0), (3,))
    for options in ({}, {"sampler": "ddim", "eta": 0.5}, {"sampler": "dpmpp"}, {"sampler": "ode"}):
        draw = prior.sample(
            params, {}, jax.random.key(1), 4000, z_shape=(3,), sampler_steps=64, **options
        )
        np.testing.assert_allclose(draw.std(0), 1.0, atol=0.1, err_msg=str(options))
    for bad in ({"sampler": "euler"}, {"eta": 0.5}, {"sampler_steps": -1}, {"eta": 2.0}):
        with pytest.raises(ValueError, match=r"sampler|eta"):
            prior.check_sampler(**bad)


@pytest.mark.slow  # by its noise at every change: test_noise
def test_hutchinson_is_refused_inside_an_iwae_exponent():
    spec = {
        "name": "vdm",
        "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1},
        "schedule": {"name": "linear"},
        "bound": "ode",
        "ode_probes": 2,
    }
    prior = build.build("prior", spec)
    params, _ = started(prior, jax.random.key(0), (3,))
    q = Normal(Z, jnp.zeros_like(Z))
    assert jnp.isfinite(prior.rate(params, {}, q, jax.random.key(1))[1].value).all()
    noise = prior.draw(jax.random.key(2), 5, (3,), purpose="elbo")
    assert noise.diffusion.probes.shape == (5, 2, 3)
    with pytest.raises(UserError, match="IWAE"):
        prior.log_prob_weight(params, {}, q, None, noise=noise)
    exact = dataclasses.replace(prior, ode_probes=0)
    weights = [p.log_prob_weight(params, {}, q, jax.random.key(1))[1] for p in (prior, exact)]
    np.testing.assert_array_equal(*weights)


def test_what_an_estimate_misses_is_said():
    q = Normal(Z, jnp.zeros_like(Z))
    vdm = {"name": "vdm", "denoiser": {"name": "MLPDenoiser"}, "schedule": {"name": "linear"}}
    for spec in ({"name": "normal", "learned": False}, vdm):
        prior = build.build("prior", spec)
        for estimate in (prior.rate, prior.log_prob_weight):
            with pytest.raises(UserError, match="needs a key, or `noise=` in its place"):
                estimate({}, {}, q, None)
    vamp = build.build("prior", {"name": "vamp", "num_components": 2}, input_levels=256)
    with pytest.raises(UserError, match="give `data`, or their `x_shape`"):
        vamp.init(jax.random.key(0), (3,))
    params, _ = vamp.init(jax.random.key(0), (3,), x_shape=(2, 2, 1))
    with pytest.raises(UserError, match="needs `encode`"):
        vamp.log_prob(params, {}, Z)


VDM_SLOWLY = pytest.param("vdm", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["normal", "mixture", "vamp", "flow", VDM_SLOWLY])
def test_map_latents(name):
    """[H, W, C] latents: the same laws of shape, with a convolutional denoiser."""
    specs = {
        "normal": {"learned": True},
        "mixture": {"num_components": 2},
        "vamp": {"num_components": 2},
        "flow": {"net": {"name": "MADE", "width": 8}, "num_flows": 2},
        "vdm": {
            "denoiser": {"name": "UNetDenoiser", "width": 8, "depth": 1},
            "schedule": {"name": "linear", "gamma_0": -3.0, "gamma_1": 3.0},
            "num_steps": 3,
        },
    }
    shape = (2, 3, 1)
    prior = build.build("prior", {"name": name} | specs[name], input_levels=256)
    encode = lambda images: Normal(images[:, :2, :3] - 0.5, -images[:, :2, :3])
    params, stats = started(prior, jax.random.key(0), shape, x_shape=(4, 4, 1))
    q = Normal(jnp.ones((2, *shape)), jnp.zeros((2, *shape)))
    z, rate = prior.rate(params, stats, q, jax.random.key(1), encode=encode)
    _, weight = prior.log_prob_weight(params, stats, q, jax.random.key(2), encode=encode)
    sample = prior.sample(params, stats, jax.random.key(3), 4, z_shape=shape, encode=encode)
    assert z.shape == (2, *shape)
    assert sample.shape == (4, *shape)
    assert rate.value.shape == weight.shape == (2,)


@pytest.mark.parametrize("parameterization", ["v", "eps", "x0"])
def test_a_learned_chain_starts_at_the_best_widths_of_a_standard_normal(parameterization):
    """No width of an untrained prior gains by moving, and "v" starts at the exact density.

    The widths of q cost it 35 nats a number there.
    """
    spec = {"name": "vdm", "denoiser": {"name": "MLPDenoiser", "width": 4, "depth": 1}}
    spec |= {"schedule": {"name": "linear", "gamma_0": -9.0, "gamma_1": 6.0}}
    spec |= {"bound": "discrete", "num_steps": 4, "reverse": "learned"}
    prior = build.build("prior", spec | {"parameterization": parameterization})
    params, stats = started(prior, jax.random.key(0), (2,))
    z = jax.random.normal(jax.random.key(1), (20_000, 2))

    @jax.jit
    def bound(params):
        return prior.log_prob_bound(params, stats, z, jax.random.key(2)).value.mean() / 2

    value, by = jax.value_and_grad(bound)(params)
    assert abs(by["reverse"]["log_v"]).max() < 0.02
    if parameterization == "v":
        assert value == pytest.approx(-0.5 * np.log(2 * np.pi * np.e), abs=0.05)
        zero = params | {"reverse": params["reverse"] | {"log_v": jnp.zeros((4, 2))}}
        assert bound(zero) < value - 20.0


@pytest.mark.parametrize("parameterization", ["v", "eps", "x0"])
@pytest.mark.parametrize("add_input", [False, True])
def test_widths_start_at_the_errors_of_the_network_as_it_starts(parameterization, add_input):
    """One that adds its input gives y at first, not 0."""
    denoiser = dict(name="UNetDenoiser", width=8, depth=1, multipliers=(1,), add_input=add_input)
    spec = dict(name="vdm", denoiser=denoiser, parameterization=parameterization)
    spec |= dict(bound="discrete", num_steps=4, reverse="learned")
    spec |= dict(schedule=dict(name="linear", gamma_0=-5.0, gamma_1=4.0))
    prior, shape = build.build("prior", spec), (4, 4, 1)
    params, _ = started(prior, jax.random.key(0), shape)
    gammas = -5.0 + 9.0 * np.arange(5, dtype=np.float32) / 4
    z, eps = draws.normal(jax.random.key(1), (2, 500, *shape))
    errors = []
    for gamma in gammas[1:]:
        level = jnp.full(500, gamma)
        y = process.diffuse(z, level, eps)
        errors.append(np.mean((eps - prior.eps_fn(params)(y, level)) ** 2))
    errors = jnp.asarray(errors)[:, None, None, None]
    wanted = reverse.best(errors, jnp.asarray(gammas))
    found = prior.chain(params, {}, shape).log_v
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=0.05)
