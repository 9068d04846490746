"""A trajectory: what its network may see, its start, its noise and the estimates it has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import started

from vdp import build, draws
from vdp.checks.report import moved
from vdp.diffusion.noise import Descent
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.evaluation import estimators
from vdp.nets import ConditionalMADE
from vdp.priors.noise import TrajectoryNoise

SPEC = {
    "name": "trajectory",
    "net": {"name": "ConditionalMADE", "width": 8, "depth": 1},
    "schedule": {"name": "learned_scalar", "gamma_0": -4.0, "gamma_1": 4.0},
    "num_steps": 3,
}
SHAPE, NUM = (2, 1), 4
Q = Normal(jnp.ones((NUM, *SHAPE)), jnp.full((NUM, *SHAPE), -1.0))


def test_an_entry_sees_those_before_it_and_all_of_the_state():
    net = ConditionalMADE(width=8, depth=1)
    e, y = draws.normal(jax.random.key(0), (2, 4))
    time = jnp.array([300.0])

    start = started(net, jax.random.key(1), e[None], y[None], time)

    @jax.jit
    def derivatives():
        params = moved(start, jax.random.key(2))
        out = lambda e, y, time: jnp.concatenate(net.apply(params, e[None], y[None], time))
        return [jnp.abs(d) for d in jax.jacfwd(out, argnums=(0, 1, 2))(e, y, time)]

    by_e, by_y, by_time = derivatives()
    assert np.all(np.triu(by_e) == 0)
    assert np.all(by_e[:, *np.tril_indices(4, -1)] > 0)
    assert np.all(by_y > 0)
    assert np.all(by_time > 0)


@pytest.fixture(scope="module")
def fresh():
    prior = build.build("prior", SPEC)
    return prior, *started(prior, jax.random.key(0), SHAPE)


def test_it_starts_as_the_standard_normal_on_every_path(fresh):
    prior, params, stats = fresh
    noise = prior.draw(jax.random.key(2), NUM, SHAPE, purpose="sample")

    @jax.jit
    def everything(key):
        drawn = dict(z_shape=SHAPE, noise=noise)
        half = prior.sample(params, stats, None, NUM, temperature=0.5, **drawn)
        sample = prior.sample(params, stats, None, NUM, **drawn)
        return *prior.log_prob_weight(params, stats, Q, key), half, sample

    z, weight, half, sample = everything(jax.random.key(1))
    exact = Normal(jnp.zeros_like(z), jnp.zeros_like(z)).log_prob(z) - Q.log_prob(z)
    np.testing.assert_allclose(weight, exact, atol=1e-5)
    np.testing.assert_allclose(half, 0.5 * sample, atol=1e-6)


def test_noise_of_another_kind_or_number_of_steps_is_refused(fresh):
    prior, params, stats = fresh
    given = params, stats
    noise = prior.draw(jax.random.key(2), NUM, SHAPE, purpose="loss")
    assert type(noise) is TrajectoryNoise
    descent = prior.draw(jax.random.key(2), NUM, SHAPE, purpose="sample")
    assert type(descent) is Descent
    with pytest.raises(UserError, match="TrajectoryNoise, not of Descent"):
        prior.rate(*given, Q, None, noise=descent)
    with pytest.raises(UserError, match="Descent, not of TrajectoryNoise"):
        prior.sample(*given, None, NUM, z_shape=SHAPE, noise=noise)
    with pytest.raises(UserError, match=r"of the shape \(4, 3, 2, 1\), not \(4, 2, 2, 1\)"):
        prior.log_prob_weight(*given, Q, None, noise=noise.replace(path=noise.path[:, 1:]))
    short = descent.replace(steps=descent.steps[:, 1:])
    with pytest.raises(UserError, match=r"of the shape \(4, 3, 2, 1\), not \(4, 2, 2, 1\)"):
        prior.sample(*given, None, NUM, z_shape=SHAPE, noise=short)
    with pytest.raises(UserError, match="needs a key, or `noise=`"):
        prior.rate(*given, Q, None)


def test_dropout_is_drawn_by_the_key_of_training():
    prior = build.build("prior", SPEC | {"net": SPEC["net"] | {"dropout": 0.5}})
    noise = prior.draw(jax.random.key(2), NUM, SHAPE, purpose="loss")

    start, _ = started(prior, jax.random.key(0), SHAPE)

    @jax.jit
    def by_key(keys):
        params = moved(start, jax.random.key(1))
        of = lambda key: prior.rate(params, {}, Q, key, noise=noise, train=True)[1].value
        return jax.lax.map(of, keys)

    first, second = by_key(jax.random.split(jax.random.key(3)))
    assert np.all(first != second)


def test_its_estimators_are_those_of_a_model_that_stands_for_no_other():
    vae = {
        "name": "vae",
        "latent_shape": SHAPE,
        "encoder": {"name": "MLP", "width": 4, "depth": 1},
        "decoder": {"name": "MLP", "width": 4, "depth": 1},
        "likelihood": {"name": "bernoulli"},
        "prior": SPEC,
    }
    model = build.build("model", vae, levels=2, input_levels=2)
    assert model.bound_model == model.weight_model == "T=3, trajectory"
    has = {name for name in estimators.ESTIMATORS if estimators.has_its_own(name, model)}
    assert has == {"elbo", "elbo_refined", "iwae", "iwae_refined"}
    with pytest.raises(UserError, match="elbo_ode"):
        estimators.check(["elbo_ode"], model)
    for asked in (0, 3):
        assert model.fitted("calibrated", asked) == model
    with pytest.raises(UserError, match=r"3 steps were trained: leave eval.num_steps=8 out"):
        model.fitted("calibrated", 8)
