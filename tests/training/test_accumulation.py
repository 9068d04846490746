"""Gradients over microbatches are those of the whole batch."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from first_step import ROUNDED, setup

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.training import accumulation, fit
from vdp.types import Batch


def toy_batch(size=6):
    images = jnp.arange(size, dtype=jnp.uint8).reshape(size, 1, 1, 1)
    return Batch(target=images, input=images, label=jnp.arange(size))


def toy(stats, batch, rng, noise):
    """Metrics, statistics and "gradients" from which it can be read what was seen."""
    mean = jnp.mean(batch.label * noise)
    stats = 10 * stats + batch.label[0]  # as of batch normalisation: one batch after the other
    return {"loss": mean}, stats, {"w": mean * jnp.ones(2)}


def accumulated(of, noise, rolled=True):
    given = (jnp.int32(7), toy_batch(), jax.random.key(0), noise)
    return accumulation.accumulated(of, *given, count=3, rolled=rolled)


@pytest.mark.parametrize("rolled", [True, False])
def test_means_over_interleaved_microbatches_and_statistics_in_turn(rolled):
    noise = jnp.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    metrics, stats, gradients = accumulated(toy, noise, rolled)
    np.testing.assert_allclose(metrics["loss"], np.mean(np.arange(6) * np.asarray(noise)))
    np.testing.assert_allclose(gradients["w"], metrics["loss"])
    assert stats == 7012


def test_examples_of_a_device_stay_on_it():
    """Two devices hold 0..3 and 4..7 of a batch; so they do of every microbatch."""
    np.testing.assert_array_equal(
        accumulation.split(jnp.arange(8), 2), [[0, 2, 4, 6], [1, 3, 5, 7]]
    )


def test_every_microbatch_has_a_key_of_its_own():
    drawing = lambda stats, batch, rng, noise: ({"loss": jax.random.normal(rng)}, stats, {})
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(3)]
    draws = [float(jax.random.normal(key)) for key in keys]
    np.testing.assert_allclose(accumulated(drawing, None)[0]["loss"], np.mean(draws), rtol=1e-6)


def test_noise_that_is_not_of_the_images_is_refused_before_anything_is_computed(monkeypatch):
    """Also where the number of its rows happens to be that of the batch."""
    settings = config.settings("digits_vae:smoke", [("train.microbatches", "2")])
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    fit._check_drawing(model, settings, facts.shape)
    size = settings.train.batch_size
    monkeypatch.setattr(type(model), "draw", lambda *_, **__: jnp.zeros((size, 3)))
    with pytest.raises(UserError, match=r"model draws one of shape .*: set train.microbatches=1"):
        fit._check_drawing(model, settings, facts.shape)


@pytest.fixture(scope="module")
def whole():
    return compiled(1)


def compiled(count, **given):
    """(state, compiled steps, feed) of the digits smoke config with microbatches."""
    sizes = {"train.batch_size": "64", "train.microbatches": str(count)}
    start, chunk, feed = setup(3, **ROUNDED, **sizes, **given)
    fed = feed.feed(0, 3)
    steps = jax.jit(chunk).lower(start, fed).compile()
    return types.SimpleNamespace(start=start, fed=fed, steps=steps)


@pytest.mark.parametrize("rolled", [True, False])
def test_steps_of_microbatches_are_those_of_the_batch(whole, rolled):
    parts = compiled(4 if rolled else 2, rolled=rolled)
    (one, metrics), (many, others) = (c.steps(c.start, c.fed) for c in (whole, parts))
    for name, value in metrics.items():
        np.testing.assert_allclose(value, others[name], rtol=2e-5, atol=1e-6, err_msg=name)
    largest = lambda leaf: np.abs(leaf).max(initial=0)
    for a, b in zip(  # moments of Adam: the gradients, and their squares
        jax.tree.leaves(one.opt_state), jax.tree.leaves(many.opt_state), strict=True
    ):
        assert largest(np.asarray(a) - np.asarray(b)) <= 1e-4 * largest(np.asarray(a))
    if rolled:
        temporaries = [c.steps.memory_analysis().temp_size_in_bytes for c in (whole, parts)]
        assert temporaries[1] < 0.6 * temporaries[0]


def test_batches_that_microbatches_do_not_divide_are_refused(refused):
    settings = config.settings("digits_vae", [("train.microbatches", "3")])
    with pytest.raises(UserError, match=r"train\.batch_size=128 must be a positive multiple of 1 "
                       r"devices times 3 microbatches"):  # fmt: skip
        fit.check_batch_sizes(settings)
    refused("--config=digits_vae:smoke", "--config.train.microbatches=3", says=["3 microbatches"])
