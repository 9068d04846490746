"""Joint, detached and second-stage training of one model; running statistics in the state."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

import vdp
from vdp import build, config, main
from vdp.data import datasets
from vdp.dists import standard_normal
from vdp.priors.noise import PosteriorNoise
from vdp.priors.vamp import VampPrior
from vdp.runtime import uncompiled
from vdp.training import step
from vdp.types import Batch


def setup(argument="smoke"):
    """(model, params moved off their zero start, stats, batch, noise) of the digits DCGAN."""
    cfg = config.settings(f"digits_dcgan:{argument}")
    dataset = datasets.load(cfg.data)
    images = dataset.splits["train"].images[:16]
    model = build.model(cfg.model, dataset.facts)
    params, stats = started(model, jax.random.key(0), dataset.facts.shape, data=jnp.asarray(images))
    batch = Batch(target=images, input=images, label=np.zeros(16, np.int32))
    noise = model.draw(jax.random.key(2), batch)
    return model, moved(params, scale=0.05), stats, batch, noise


def gradients(model, params, stats, batch, noise):
    """(gradient of the mean loss without annealing, Aux)."""

    def loss(params):
        value, aux = model.loss(
            params, stats, batch, jax.random.key(3), step=10**6, train=True, noise=noise
        )
        return value.mean(), aux

    return jax.jit(jax.grad(loss, has_aux=True))(params)


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-4)


@pytest.fixture(scope="module")
def joint():
    model, *rest = setup()
    return model, rest, gradients(model, *rest)


def test_detached_trains_the_prior_as_joint_does_and_the_rest_with_a_normal(joint):
    model, rest, (joint_gradient, joint_aux) = joint
    params, stats, batch, noise = rest
    detached = dataclasses.replace(model, training="detached")
    gradient, aux = gradients(detached, *rest)
    close(gradient["prior"], joint_gradient["prior"])
    np.testing.assert_allclose(aux.terms.value, joint_aux.terms.value, rtol=1e-5)

    def with_normal(params):
        q, _ = model.posterior(params, stats, batch.input / 16.0, train=True)
        outputs, _ = model.decode(
            params, stats, q.sample(noise.z), batch.target.shape[1:], train=True
        )
        log_prob = model.likelihood.log_prob(outputs, batch.target)
        return -(log_prob - q.kl(standard_normal(q.mean))).mean()

    expected = jax.jit(jax.grad(with_normal))(params)
    close(gradient["encoder"], expected["encoder"])
    close(gradient["decoder"], expected["decoder"])
    assert jnp.abs(gradient["encoder"]["Dense_0"]["kernel"]).max() > 0


def test_the_second_stage_moves_the_prior_alone(joint):
    model, rest, _ = joint
    stats = rest[1]
    gradient, aux = gradients(dataclasses.replace(model, training="prior"), *rest)
    for role in ("encoder", "decoder"):
        assert all(not g.any() for g in jax.tree.leaves(gradient[role]))
    assert any(g.any() for g in jax.tree.leaves(gradient["prior"]))
    close(aux.stats, stats)


@pytest.mark.parametrize("prior", ["vamp", "normal"])
def test_pseudo_inputs_never_enter_running_statistics(joint, prior):
    """The new statistics are those of the batch, whatever the prior does with the encoder."""
    _, rest, (_, aux) = joint
    other, *_ = setup(f"prior={prior},smoke")
    fresh, _ = started(other, jax.random.key(0), (8, 8, 1), data=jnp.asarray(rest[2].input))
    params, stats, batch, noise = rest
    own_noise = PosteriorNoise(z=noise.z)
    _, new_aux = gradients(other, params | {"prior": fresh["prior"]}, stats, batch, own_noise)
    close(new_aux.stats, aux.stats)
    changed = zip(jax.tree.leaves(aux.stats), jax.tree.leaves(stats), strict=True)
    assert all(not np.allclose(a, b) for a, b in changed)


def test_pseudo_inputs_are_normalised_as_the_batch_is(monkeypatch):
    """An image of the batch as a pseudo-input has its own posterior, also in training."""
    model, params, stats, batch, noise = setup("prior=vamp,smoke")
    seen = []

    def rate(self, params, stats, q, rng, *, encode, **options):
        seen.append((q, encode(jnp.asarray(batch.input) / 16)))
        return original(self, params, stats, q, rng, encode=encode, **options)

    original = VampPrior.rate
    monkeypatch.setattr(VampPrior, "rate", rate)
    model.loss(params, stats, batch, jax.random.key(3), step=0, train=True, noise=noise)
    ((of_image, of_pseudo_input),) = seen
    np.testing.assert_allclose(of_pseudo_input.mean, of_image.mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(of_pseudo_input.log_var, of_image.log_var, rtol=1e-3, atol=1e-4)


def test_statistics_are_averaged_like_the_parameters(joint):
    from vdp.training import optim, state

    model, rest, _ = joint
    cfg = config.settings("digits_dcgan:smoke")
    optimizer = optim.make(cfg.optim, 10, rest[0])
    create = functools.partial(state.create, model, optimizer)
    start = uncompiled.evaluated(create)(jax.random.key(0), (8, 8, 1))
    metrics = {"loss": jnp.float32(1.0)}
    new_stats = jax.tree.map(lambda x: x + 1.0, start.stats)
    zero = jax.tree.map(np.zeros_like, start.params)
    how = dict(optimizer=optimizer, ema_decay=0.9, ema_warmup=False)
    update = jax.jit(functools.partial(step.apply_gradients, **how))
    after, _ = update(start, metrics, new_stats, zero)
    close(after.stats, new_stats)
    close(after.ema_stats, jax.tree.map(lambda x: x + 0.1, start.stats))
    for a, b in zip(jax.tree.leaves(after.ema), jax.tree.leaves(start.params), strict=True):
        np.testing.assert_array_equal(a, b)  # a constant stays itself to the last bit


@pytest.mark.slow
def test_two_stages_from_the_command_line(refused, tmp_path):
    small = ["--config.train.steps=10", "--config.eval.every=10", "--config.log.tensorboard=False",
             "--config.eval.estimators=elbo,elbo_ode,iwae_ode"]  # fmt: skip
    first, second = tmp_path / "first", tmp_path / "second"
    one = ["--config=digits_dcgan:prior=normal,smoke", f"--workdir={first}", *small]
    two = ["--config=digits_dcgan:prior=vdm,training=prior,smoke", f"--workdir={second}", *small]
    assert main.run([*one, "--config.eval.estimators=elbo"]) == 0
    start = [*two, f"--config.train.init_from={first}"]
    refused(*start, "--config.model.latent_shape=3", says=["another autoencoder", "latent_shape"])
    refused(*start, "--config.model.log_var_floor=-2.0", says=["another auto", "log_var_floor"])
    refused(*start, "--config.optim.groups.decoder=1", says=["optim.groups.decoder=0"])
    refused(*two, "--config.train.init_from=/nope", says=["/nope"])
    assert main.run(start) == 0
    before, after = vdp.load(first), vdp.load(second)
    for role in ("encoder", "decoder"):
        for a, b in zip(*(jax.tree.leaves(r.params[role]) for r in (before, after)), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(*(jax.tree.leaves(r.stats[role]) for r in (before, after)), strict=True):
            np.testing.assert_array_equal(a, b)
    x = after.images("test")[:8]
    likelihoods = [r.elbo(x).parts["likelihood"] for r in (before, after)]
    assert np.abs(likelihoods[0] - likelihoods[1]).max() < 40  # other noise, same networks
    estimates = json.loads((second / "eval.json").read_text())["estimators"]
    assert estimates["elbo"]["model"] == "T=inf"
    assert estimates["elbo_ode"]["model"] == estimates["iwae_ode"]["model"] == "ode"
    assert estimates["iwae_ode"]["weight"] == "ode"
    assert 0 <= estimates["elbo_ode"]["solver_error"] < 0.5
    assert estimates["elbo_discrete"] is None
    assert estimates["iwae_ode"]["nats"]["mean"] > estimates["elbo_ode"]["nats"]["mean"]
    exact = json.loads((first / "eval.json").read_text())["estimators"]
    assert exact["elbo"]["model"] == "exact"
    assert exact["elbo_ode"] is exact["iwae_ode"] is None
    for name in ("samples", "reconstructions", "interpolations", "latents", "denoising"):
        assert (second / "samples" / f"{name}.png").stat().st_size > 500
    assert not (first / "samples" / "denoising.png").exists()
