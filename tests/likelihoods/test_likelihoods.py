"""The laws every likelihood keeps; a new file in vdp/likelihoods is found by its name."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build

SPECS = [
    ({"name": "bernoulli"}, 2),
    ({"name": "discretized_logistic", "scale": "predicted"}, 5),
    ({"name": "discretized_logistic", "scale": "learned"}, 256),
    ({"name": "discretized_logistic", "scale": 0.3}, 17),
    ({"name": "discretized_normal", "scale": "predicted"}, 5),
    ({"name": "discretized_normal", "scale": 0.05}, 256),
    ({"name": "categorical", "scale": "predicted"}, 5),
    ({"name": "categorical", "scale": 0.05}, 256),
    ({"name": "logistic_mixture"}, 5),
    ({"name": "logistic_mixture", "num_components": 1}, 17),
    ({"name": "logistic_mixture", "num_components": 3}, 256),
    ({"name": "normal", "scale": "learned"}, 256),
    ({"name": "normal", "scale": 0.5}, 256),
    ({"name": "normal", "scale": "predicted"}, 17),
]
IDS = [f"{spec['name']}-{spec.get('scale', '')}-{levels}" for spec, levels in SPECS]


def make(spec, levels, shape=(2, 3, 3, 1), seed=0):
    likelihood = build.build("likelihood", spec, levels=levels)
    features = jax.random.normal(
        jax.random.key(seed), (*shape[:3], likelihood.num_features(shape[3]))
    )
    return likelihood, likelihood.attach(likelihood.init(), features)


def test_every_likelihood_is_under_these_laws():
    assert {spec["name"] for spec, _ in SPECS} == set(build._accepted("likelihood"))


@pytest.mark.parametrize(("spec", "levels"), SPECS, ids=IDS)
def test_shapes_samples_and_means(spec, levels):
    likelihood, outputs = make(spec, levels)
    assert outputs.shape[-1] == likelihood.num_outputs(1)
    draws = jax.vmap(lambda k: likelihood.sample(outputs, k))(
        jax.random.split(jax.random.key(1), 4000)
    )
    assert draws.dtype == jnp.uint8
    assert int(draws.max()) < levels
    mean = likelihood.mean(outputs)
    assert mean.shape == (2, 3, 3, 1)
    assert likelihood.log_prob(outputs, draws[0]).shape == (2,)
    if likelihood.discrete:
        scaled = draws.astype(jnp.float32) / (levels - 1)
        error = scaled.std(0) / np.sqrt(len(draws))
        assert np.all(np.abs(scaled.mean(0) - mean) < 5 * error + 1e-4)


@pytest.mark.parametrize(("spec", "levels"), [s for s in SPECS if s[0]["name"] != "normal"])
def test_discrete_masses_over_all_images_sum_to_one(spec, levels):
    likelihood, outputs = make(spec, levels, shape=(1, 1, 1 if levels > 5 else 2, 1))
    assert likelihood.discrete
    values = itertools.product(range(levels), repeat=outputs.shape[2])
    images = jnp.array(list(values), jnp.uint8).reshape(-1, *outputs.shape[1:3], 1)
    log_prob = likelihood.log_prob(jnp.repeat(outputs, len(images), 0), images)
    np.testing.assert_allclose(jnp.exp(log_prob).sum(), 1.0, rtol=1e-4)


@pytest.mark.parametrize(("spec", "levels"), SPECS, ids=IDS)
def test_extremes_stay_finite_in_bfloat16(spec, levels):
    likelihood, outputs = make(spec, levels)
    target = jnp.zeros((2, 3, 3, 1), jnp.uint8).at[0].set(levels - 1)
    for scale in (0.0, 1e3):

        def total(outputs, scale=scale, target=target):
            return likelihood.log_prob((outputs * scale).astype(jnp.bfloat16), target).sum()

        value, gradient = jax.value_and_grad(total)(outputs)
        assert jnp.isfinite(value)
        assert value.dtype == jnp.float32
        assert jnp.all(jnp.isfinite(gradient))


def test_learned_scale_receives_a_gradient_and_normal_is_the_density():
    likelihood = build.build("likelihood", {"name": "normal"}, levels=256)
    target = jnp.array([[[[0], [255]]]], jnp.uint8)

    def log_prob(params):
        return likelihood.log_prob(likelihood.attach(params, jnp.zeros((1, 1, 2, 1))), target)[0]

    params = {"log_scale": jnp.float32(0.0)}
    np.testing.assert_allclose(log_prob(params), -np.log(2 * np.pi) - 1.0, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(log_prob)(params)["log_scale"], 0.0, atol=1e-5)


def test_bernoulli_on_grey_images_says_what_to_do(refused):
    refused("--config=mnist_vae", "--mode=describe", "--config.data.binarization=none",
            says=["2 levels", "binarization"])  # fmt: skip
