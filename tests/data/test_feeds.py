"""Order, transforms and batches of training images."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp.data import datasets, feeds, transforms
from vdp.data.core import Split
from vdp.runtime import parallel
from vdp.settings import Data

N, B = 23, 8


def split():
    images = np.arange(N * 4).reshape(N, 2, 2, 1).astype(np.uint8)
    return Split.of(images, np.arange(N))


def labels_of(placement, step, num_steps, seed=3):
    feed = feeds.make(
        split(), seed=seed, batch_size=B, placement=placement, mesh=parallel.make_mesh()
    )
    fed = feed.feed(step, num_steps)
    return np.concatenate([feeds.take(fed, i, B)[1] for i in range(num_steps)])


def test_every_epoch_holds_every_example_once():
    seen = labels_of("device", 0, 3 * N)
    for epoch in range(3 * B):
        assert sorted(seen[epoch * N : (epoch + 1) * N]) == list(range(N))
    assert not np.array_equal(seen[:N], seen[N : 2 * N])


def test_order_depends_on_seed_and_step_only():
    whole = labels_of("device", 0, 12)
    pieces = [labels_of("device", s, 1) for s in range(12)]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert np.array_equal(whole, labels_of("host", 0, 12))
    assert np.array_equal(whole[5 * B : 9 * B], labels_of("host", 5, 4))
    assert not np.array_equal(whole, labels_of("device", 0, 12, seed=4))


@pytest.mark.parametrize("placement", ["device", "host"])
def test_one_feed_goes_on_from_epoch_to_epoch(placement):
    mesh = parallel.make_mesh()
    feed = feeds.make(split(), seed=3, batch_size=B, placement=placement, mesh=mesh)
    seen = [feeds.take(feed.feed(step, 1), 0, B)[1] for step in range(12)]
    np.testing.assert_array_equal(np.concatenate(seen), labels_of(placement, 0, 12))


def test_images_and_labels_stay_together():
    for placement in ("device", "host"):
        feed = feeds.make(
            split(), seed=0, batch_size=B, placement=placement, mesh=parallel.make_mesh()
        )
        images, labels = feeds.take(feed.feed(4, 2), 1, B)
        np.testing.assert_array_equal(images, split().images[np.asarray(labels)])


def test_dynamic_binarisation_has_the_right_probability():
    data = Data(binarization="dynamic", encoder_input="grey")
    transform = transforms.make(data, 256)
    images = jnp.tile(jnp.array([0, 51, 204, 255], jnp.uint8).reshape(1, 2, 2, 1), (4000, 1, 1, 1))
    batch = transform(images, jnp.zeros(4000, jnp.int32), jax.random.key(0))
    rates = np.asarray(batch.target).mean(0).ravel()
    np.testing.assert_allclose(rates, [0, 0.2, 0.8, 1], atol=0.03)
    assert rates[0] == 0
    assert rates[3] == 1
    np.testing.assert_array_equal(batch.input, images)
    of_target = transforms.make(dataclasses.replace(data, encoder_input="target"), 256)
    batch = of_target(images, jnp.zeros(4000, jnp.int32), jax.random.key(0))
    np.testing.assert_array_equal(batch.input, batch.target)


def test_fixed_binarisation_is_one_recorded_draw():
    data = Data(name="synthetic:4x4x1", binarization="dynamic")
    dataset = datasets.load(data)
    first, seen = datasets.fixed_images(dataset.splits["test"], dataset.facts, data)
    again, _ = datasets.fixed_images(dataset.splits["test"], dataset.facts, data)
    assert np.array_equal(first, again)
    assert first is seen
    assert dataset.facts.levels == 2
    reseeded = dataclasses.replace(data, binarization_seed=1)
    other, _ = datasets.fixed_images(dataset.splits["test"], dataset.facts, reseeded)
    assert not np.array_equal(first, other)
    grey = dataset.splits["test"].images / 255
    assert abs((first - grey).mean()) < 5 * 0.5 / np.sqrt(first.size)


def test_flips_are_mirror_images_half_of_the_time():
    flip = transforms.make(Data(augmentation="flip"), 256)
    images = jnp.tile(jnp.arange(6, dtype=jnp.uint8).reshape(1, 2, 3, 1), (2000, 1, 1, 1))
    found = flip(images, jnp.zeros(2000, jnp.int32), jax.random.key(0)).target
    flipped = np.asarray(found[:, 0, 0, 0]) == 2
    assert abs(flipped.mean() - 0.5) < 0.06
    np.testing.assert_array_equal(found[flipped], images[flipped][:, :, ::-1])
    np.testing.assert_array_equal(found[~flipped], images[~flipped])


def test_padded_batches_lose_and_repeat_nothing():
    target = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    seen = []
    for batch, real in transforms.padded_batches(target, target, np.zeros(10, np.int32), 4):
        assert len(batch.target) == 4
        seen += batch.target[:real].ravel().tolist()
    assert seen == list(range(10))
