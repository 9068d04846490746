"""The laws every likelihood keeps; a new file in vdp/likelihoods is found by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, components
from vdp.checks import check_likelihood
from vdp.errors import UserError

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
SLOW = {  # others of their kind stand beside them
    "logistic_mixture--5", "logistic_mixture--17", "discretized_logistic-predicted-5",
    "categorical-0.05-256",
}  # fmt: skip
CASES = [
    pytest.param(*spec, id=name, marks=pytest.mark.slow if name in SLOW else [])
    for spec, name in zip(SPECS, IDS, strict=True)
]


def test_every_likelihood_is_under_these_laws():
    assert {spec["name"] for spec, _ in SPECS} == set(components.accepted("likelihood"))


@pytest.mark.parametrize(("spec", "levels"), CASES)
def test_the_laws(spec, levels):
    likelihood = build.build("likelihood", spec, levels=levels)
    report = check_likelihood(likelihood, (3, 3, 1), levels=levels)
    undecided = [law.name for law in report.laws if not law.held]
    assert undecided == [] if likelihood.discrete else ["the density integrates to one"], report
    masses = {law.name for law in report.laws if "masses" in law.name}
    assert len(masses) == (2 if spec["name"] != "normal" else 0)


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


def test_a_fixed_scale_may_be_a_number_in_words():
    """As it comes from the command line, where the field holds "learned"."""
    made = [
        build.build("likelihood", {"name": "normal", "scale": s}, levels=4) for s in ("0.5", 0.5)
    ]
    assert made[0] == made[1]
    for wrong, says in (("wide", "neither"), ("-1", "between"), ("nan", "between")):
        with pytest.raises(UserError, match=says):
            build.build("likelihood", {"name": "normal", "scale": wrong}, levels=4)


def test_a_scale_that_would_be_another_one_or_never_learn_is_refused():
    """Log-scales are clamped to [-8, 1], where values beyond have no gradient."""
    make = lambda **fields: build.build("likelihood", {"name": "normal", **fields}, levels=4)
    ends = [make(scale=s) for s in (2.71828, 3.355e-4)]
    for end in ends:
        _, log_scale = end.split(end.attach({}, jnp.zeros((1, 1, 1, 1))))
        np.testing.assert_allclose(np.exp(log_scale), end.scale, rtol=1e-5)
    for wrong in (5.0, 1e-4):
        with pytest.raises(UserError, match="between"):
            make(scale=wrong)
    for scale in ("learned", "predicted"):  # which networks give that start near 0
        with pytest.raises(UserError, match=f"a {scale} log-scale .* no gradient"):
            make(scale=scale, initial_log_scale=1.5)


def test_a_gaussian_pixel_is_drawn_and_averaged_where_its_density_lies():
    """N(location, scale^2) on [-1, 1]: of 201 levels, 100 (1 + N) in levels."""
    likelihood = build.build("likelihood", {"name": "normal", "scale": 0.1}, levels=201)
    location = jnp.array([-1.5, -0.5, 0.0, 0.3, 1.2]).reshape(1, 1, 5, 1)
    outputs = likelihood.attach({}, location)
    mean = np.ravel(likelihood.mean(outputs))
    np.testing.assert_allclose(mean, [0.0, 0.25, 0.5, 0.65, 1.0], atol=1e-6)
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = np.float64(jax.vmap(lambda key: likelihood.sample(outputs, key))(keys))[:, 0, 0, 1:4, 0]
    error = 10 / np.sqrt(len(keys))
    np.testing.assert_allclose(drawn.mean(0), [50, 100, 130], atol=5 * error)
    rounded = np.sqrt(10**2 + 1 / 12)  # to levels
    np.testing.assert_allclose(drawn.std(0, ddof=1), rounded, rtol=5 / np.sqrt(2 * len(keys)))
