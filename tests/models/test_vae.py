"""The VAE on a linear-Gaussian model, where the log-likelihood is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import ANNEALING
from scipy import stats
from starting import started

from vdp import build
from vdp.metrics import likelihood as estimators
from vdp.metrics import refinement
from vdp.metrics.batched import Batched
from vdp.runtime import parallel
from vdp.types import Batch

SCALE, LEVELS = 0.5, 256
W = np.array([[0.6, -0.3], [0.2, 0.5], [-0.4, 0.1], [0.3, 0.3]])
X_SHAPE, Z = (2, 2, 1), 2


def linear_gaussian(prior=None, *, widen=0.3):
    """(model, params, stats): x = W z + noise; q(z|x) is the exact posterior, only too wide."""
    spec = {
        "name": "vae",
        "latent_shape": (Z,),
        "encoder": {"name": "toys.Affine"},
        "decoder": {"name": "toys.Affine"},
        "prior": prior or {"name": "normal"},
        "likelihood": {"name": "normal", "scale": SCALE},
        "log_var_floor": -4.0 if prior else -20.0,
    }
    model = build.build("model", spec, levels=LEVELS, input_levels=LEVELS)
    params, model_stats = started(model, jax.random.key(0), X_SHAPE)
    precision = np.eye(Z) + W.T @ W / SCALE**2
    mean_of = np.linalg.inv(precision) @ W.T / SCALE**2
    kernel = np.concatenate([mean_of.T, np.zeros((4, Z))], axis=1)
    bias = np.concatenate([np.zeros(Z), -np.log(np.diag(precision)) + widen])
    params["encoder"]["Dense_0"] = {"kernel": jnp.array(kernel), "bias": jnp.array(bias)}
    params["decoder"]["net"]["Dense_0"] = {"kernel": jnp.array(W.T), "bias": jnp.zeros(4)}
    return model, jax.tree.map(jnp.float32, params), model_stats


def batch_of(num=6):
    images = np.random.default_rng(0).integers(60, 200, size=(num, *X_SHAPE)).astype(np.uint8)
    return Batch(target=images, input=images, label=np.zeros(num, np.int32))


def exact_log_prob(batch):
    x = 2 * np.asarray(batch.target, np.float64).reshape(-1, 4) / (LEVELS - 1) - 1
    covariance = W @ W.T + SCALE**2 * np.eye(4)
    return stats.multivariate_normal(np.zeros(4), covariance).logpdf(x)


def test_iwae_meets_the_exact_log_likelihood():
    """An analytic KL inside the exponent would land far above it."""
    model, params, model_stats = linear_gaussian()
    found = estimators.iwae(
        model, params, model_stats, batch_of(), jax.random.key(1), num_samples=20_000, chunk=2000
    )
    np.testing.assert_allclose(found, exact_log_prob(batch_of()), atol=0.03)


def test_one_sample_weights_average_to_one_after_the_exact_likelihood():
    model, params, model_stats = linear_gaussian()
    keys = jax.random.split(jax.random.key(2), 20_000)
    log_w = jax.lax.map(
        lambda k: model.log_weight(params, model_stats, batch_of(), k), keys, batch_size=2000
    )
    ratio = np.exp(np.asarray(log_w, np.float64) - exact_log_prob(batch_of()))
    assert np.all(np.abs(ratio.mean(0) - 1) < 5 * ratio.std(0) / np.sqrt(len(ratio)))
    elbo = jax.vmap(lambda k: model.elbo(params, model_stats, batch_of(), k).value)(keys[:4000])
    error = np.hypot(elbo.std(0) / np.sqrt(4000), log_w.std(0) / np.sqrt(len(log_w)))
    assert np.all(np.abs(elbo.mean(0) - log_w.mean(0)) < 5 * error)
    assert np.all(elbo.mean(0) < exact_log_prob(batch_of()))


@pytest.mark.parametrize(("beta", "warmup", "step", "weight"), ANNEALING)
def test_annealing_touches_the_loss_and_nothing_else(beta, warmup, step, weight):
    import dataclasses

    model, params, model_stats = linear_gaussian()
    annealed = dataclasses.replace(model, beta=beta, kl_warmup_steps=warmup)
    batch = batch_of()
    noise = model.draw(jax.random.key(6), batch)
    loss, aux = annealed.loss(
        params, model_stats, batch, jax.random.key(7), step=step, train=False, noise=noise
    )
    elbo = model.elbo(params, model_stats, batch, jax.random.key(7), noise=noise)
    np.testing.assert_allclose(aux.terms.value, elbo.value, rtol=1e-6)
    expected = -(elbo.parts["likelihood"] + weight * elbo.parts["kl"])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_bits_per_dim_of_a_uniform_image_is_its_bit_depth():
    shape = (4, 4, 3)
    nats = -np.log(256.0) * 48
    np.testing.assert_allclose(estimators.bits_per_dim(nats, shape), 8.0, rtol=1e-6)
    found = estimators.mean_and_error([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose([found["mean"], found["se"]], [2.5, np.sqrt(5 / 3) / 2])


@pytest.mark.parametrize("form", ["exact", "separate", "merged"])
def test_the_code_has_the_density_of_the_prior_at_the_posteriors_mean(form):
    """Exactly, by the prior's bound, or up to a constant by what stands for that in `elbo`."""
    mlp = {"name": "MLPDenoiser", "width": 4, "depth": 1}
    schedule = {"name": "linear", "gamma_0": -5.0, "gamma_1": 5.0}
    diffusion = {"name": "vdm", "denoiser": mlp, "schedule": schedule, "form": form}
    model, params, model_stats = linear_gaussian(None if form == "exact" else diffusion)
    batch, key = batch_of(), jax.random.key(3)
    if form == "merged":  # whose q has no variances of its own
        dense = params["encoder"]["Dense_0"]
        params["encoder"]["Dense_0"] = {name: leaf[..., :Z] for name, leaf in dense.items()}
    found = model.code_log_prob(params, model_stats, batch, key)
    q = model.encode(params, model_stats, batch.input)
    if form == "exact":
        np.testing.assert_allclose(found, stats.norm.logpdf(q.mean).sum(1), rtol=1e-5)
        return
    noise = model.prior.draw(key, len(found), (Z,), purpose="elbo")
    if form == "merged":
        terms = model.elbo(params, model_stats, batch, key, noise=noise)
        bound = terms.value - terms.parts["likelihood"]
    else:
        arguments = params["prior"], model_stats["prior"], q.mean, None
        bound = model.prior.log_prob_bound(*arguments, noise=noise).value
    np.testing.assert_allclose(found, bound, rtol=1e-5)


def refined(model, params, model_stats, batch, key, *, steps, rate):
    batched = Batched(parallel.make_mesh(), 6, 0)
    return refinement.Ascent(batched, model, steps=steps, rate=rate)(
        params, model_stats, batch, key
    )


def test_refined_posteriors_are_the_best_of_their_family_wherever_the_encoder_lies():
    """Of independent z the best has the exact means and variances 1/P_ii, P the true precision."""
    model, params, model_stats = linear_gaussian(widen=1.0)
    params["encoder"]["Dense_0"]["bias"] += jnp.array([0.4, -0.3, 0.0, 0.0])
    batch = batch_of()
    precision = np.eye(Z) + W.T @ W / SCALE**2
    lost = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
    how = dict(steps=3000, rate=0.01)
    found = refined(model, params, model_stats, batch, jax.random.key(1), **how)
    q = model._normal(params, found.encoded)
    expected = np.broadcast_to(-np.log(np.diag(precision)), (6, Z))
    np.testing.assert_allclose(q.log_var, expected, atol=0.1)
    one = lambda key: model.elbo(params, model_stats, found, key).value
    bounds = jax.vmap(one)(jax.random.split(jax.random.key(2), 20_000))
    np.testing.assert_allclose(bounds.mean(0), exact_log_prob(batch) - lost, atol=0.02)


def test_refined_weights_are_of_the_same_model_and_more_of_them_count():
    model, params, model_stats = linear_gaussian(widen=1.5)
    batch, how = batch_of(), dict(num_samples=2000, chunk=500)
    better = refined(model, params, model_stats, batch, jax.random.key(1), steps=200, rate=0.05)
    plain, found = (
        estimators.iwae_terms(model, params, model_stats, given, jax.random.key(1), **how)
        for given in (batch, better)
    )
    np.testing.assert_allclose(found["value"], exact_log_prob(batch_of()), atol=0.05)
    assert np.all(found["ess"] > 1.3 * plain["ess"])


@pytest.mark.parametrize("prior", ["normal", "vamp"])
def test_what_stands_for_the_encoders_outputs_moves_the_posterior_and_no_prior(prior):
    model, params, model_stats = linear_gaussian({"name": prior})
    batch, key = batch_of(), jax.random.key(3)
    outputs = model.encoded(params, model_stats, batch)
    same = model.elbo(params, model_stats, batch.replace(encoded=outputs), key).value
    np.testing.assert_array_equal(same, model.elbo(params, model_stats, batch, key).value)
    moved = batch.replace(encoded=outputs + 0.3)
    noise = model.draw(key, batch, purpose="weight")
    q = model._normal(params, outputs + 0.3)
    z = q.sample(noise.z)
    encode = model.encode_fn(params, model_stats)
    expected = model.prior.log_prob(params["prior"], model_stats["prior"], z, encode=encode)
    features, _ = model.decode(params, model_stats, z, X_SHAPE)
    expected += model.likelihood.log_prob(features, batch.target) - q.log_prob(z)
    found = model.log_weight(params, model_stats, moved, key, noise=noise)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
