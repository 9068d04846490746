"""Run by test_parallel.py in a process of its own: what 8 forced host devices compute."""

import functools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from first_step import setup

from vdp.runtime import parallel
from vdp.training import step
from vdp.types import Batch

BATCH = {"train.batch_size": "16"}


def largest_difference(a, b):
    """Largest |a - b| / (|b| + 1e-3) over all leaves."""
    return max(
        float(np.max(np.abs(np.asarray(x) - np.asarray(y)) / (np.abs(np.asarray(y)) + 1e-3)))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def train(num_devices, steps=3, fsdp=False):
    """(state, losses) after some steps on a mesh of so many devices."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:num_devices]), ("data",))
    start, chunk, feed = setup(constrain=parallel.batch_constraint(mesh), **BATCH)
    place = parallel.placer(mesh)
    shardings = parallel.state_shardings(start, mesh, fsdp=fsdp)
    current = jax.device_put(start, shardings)
    jitted = jax.jit(chunk, out_shardings=(shardings, parallel.replicated(mesh)))
    losses = []
    for i in range(steps):
        fed = {name: place(value) for name, value in feed.feed(i, 1).items()}
        current, metrics = jitted(current, fed)
        jax.block_until_ready(current)
        losses.append(float(metrics["loss"][0]))
    sharded = sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(current))
    return jax.device_get(current), losses, sharded


def pmap_against_jit():
    """The same pure step under pmap on shards of the same batch and noise."""
    start, _, _, model, optimizer = setup(parts=True, **BATCH)
    rng = jax.random.key(5)
    images = jax.random.randint(rng, (16, 8, 8, 1), 0, 17).astype(jnp.uint8)
    batch = Batch(target=images, input=images, label=jnp.zeros(16, jnp.int32))
    noise = model.draw(jax.random.key(6), batch, purpose="loss")
    update = functools.partial(step.apply_gradients, optimizer=optimizer, ema_decay=0.9)

    def whole(state, batch, noise):
        metrics, stats, gradients = step.loss_and_gradients(model, state, batch, rng, noise=noise)
        return gradients, *update(state, metrics, stats, gradients)

    def shard(state, batch, noise):
        metrics, stats, gradients = step.loss_and_gradients(model, state, batch, rng, noise=noise)
        gradients = jax.lax.pmean(gradients, "data")
        return gradients, *update(state, jax.lax.pmean(metrics, "data"), stats, gradients)

    split = lambda tree: jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), tree)
    by_jit = jax.jit(whole)(start, batch, noise)
    by_pmap = jax.pmap(shard, axis_name="data", in_axes=(None, 0, 0))(
        start, split(batch), split(noise)
    )
    first = jax.tree.map(lambda x: x[0], by_pmap)
    names = ("gradients", "state", "metrics")
    return {n: largest_difference(a, b) for n, a, b in zip(names, first, by_jit, strict=True)}


if __name__ == "__main__":
    parallel.FSDP_MIN_SIZE = 64  # the smoke model is small
    one, eight, sharded = train(1), train(8), train(8, fsdp=True)
    report = {
        "devices": jax.device_count(),
        "losses": [one[1], eight[1], sharded[1]],
        "state": largest_difference(one[0].params, eight[0].params),
        "fsdp": largest_difference(one[0].params, sharded[0].params),
        "fsdp_leaves": sharded[2],
        "pmap": pmap_against_jit(),
    }
    json.dump(report, sys.stdout)
