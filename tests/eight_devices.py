"""Run by test_parallel.py in a process of its own: what 8 forced host devices compute."""

import functools
import json
import pathlib
import sys
import tempfile
import types

import jax
import jax.numpy as jnp
import numpy as np
from first_step import ROUNDED, setup
from starting import started

from vdp import build, config
from vdp.data import datasets, feeds
from vdp.data.core import Split
from vdp.metrics import per_batch
from vdp.metrics.batched import Batched
from vdp.runtime import parallel
from vdp.training import state as states
from vdp.training import step
from vdp.training.checkpoint import Checkpoints
from vdp.types import Batch

MOVES = ((1, 8), (8, 1), (2, 4), (4, 2), (8, 8))  # devices that save, and that restore
BATCH = {"train.batch_size": "16"}


def largest_difference(a, b):
    """Largest |a - b| / (|b| + 1e-3) over all leaves."""
    return max(
        float(np.max(np.abs(np.asarray(x) - np.asarray(y)) / (np.abs(np.asarray(y)) + 1e-3)))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def mesh_of(num_devices):
    return parallel.make_mesh(jax.devices()[:num_devices])


def train(num_devices, steps=3, fsdp=False, **overrides):
    """(state, losses) after some steps on a mesh of so many devices."""
    mesh = mesh_of(num_devices)
    start, chunk, feed = setup(mesh=mesh, **BATCH, **ROUNDED, **overrides)
    shardings = parallel.state_shardings(start, mesh, fsdp=fsdp)
    current = jax.device_put(start, shardings)
    jitted = jax.jit(chunk, out_shardings=(shardings, parallel.replicated(mesh)))
    losses = []
    for i in range(steps):
        current, metrics = jitted(current, feed.feed(i, 1))
        jax.block_until_ready(current)
        losses.append(float(metrics["loss"][0]))
    return current, losses


def is_sharded(state):
    return [not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state)]


class Counted:
    """An array that counts the rows that are read of it."""

    def __init__(self, array):
        self.array, self.shape, self.rows = array, array.shape, []

    def __getitem__(self, index):
        self.rows.append(index.size)
        return self.array[index]


def streamed():
    """Whether 3 steps of 16 streamed images are those of the resident ones, and who reads them."""
    split = Split.of(np.random.default_rng(0).integers(0, 256, (100, 2, 2, 1)).astype(np.uint8))
    resident, feed = (
        feeds.make(split, seed=0, batch_size=16, placement=placement, mesh=mesh_of(8))
        for placement in ("device", "host")
    )
    images = Counted(split.images)
    feed.split = types.SimpleNamespace(images=images, labels=split.labels)
    fed, wanted = feed.feed(1, 3), resident.feed(1, 3)
    pairs = [zip(feeds.take(fed, i, 16), feeds.take(wanted, i, 16), strict=True) for i in range(3)]
    return {
        "same": all(np.array_equal(a, b) for pair in pairs for a, b in pair),
        "rows": images.rows,
        "shards": [shard.data.shape[:2] for shard in fed["images"].addressable_shards],
    }


def decoder_of(state):
    """The parameters of the decoder alone: fewer arrays to save and to read."""
    return state.replace(params=state.params["decoder"], ema=state.ema["decoder"])


def restored_elsewhere(state):
    """Moves from N devices to M after which a state is another, or not sharded where it can be."""
    wrong = []
    for saving, restoring in MOVES:
        shardings = parallel.state_shardings(state, mesh_of(saving), fsdp=True)
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(pathlib.Path(folder))
            checkpoints.save(jax.device_put(state, shardings), metric=None)
            checkpoints.wait()
            shardings = parallel.state_shardings(state, mesh_of(restoring), fsdp=True)
            shape = lambda x, at: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at)
            found = checkpoints.restore_latest(jax.tree.map(shape, state, shardings))
            same = jax.tree.map(lambda a, b: bool((np.asarray(a) == b).all()), found, state)
            if not all(jax.tree.leaves(same)) or any(is_sharded(found)) != (restoring > 1):
                wrong.append((saving, restoring))
            checkpoints.close()
    return wrong


def drawn():
    """How samples of eight devices differ from those of one, and their share of arithmetic."""
    settings = config.settings("digits_vae:smoke")
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    made, flops = [], []
    for num in (8, 1):
        mesh = mesh_of(num)
        shapes = states.evaluated_template(settings, model, facts.shape, mesh)
        params, stats = started(model, jax.random.key(0), facts.shape)
        batched = Batched(mesh, 64, 0)
        draw = dict(function=per_batch.sample, size=64, x_shape=facts.shape)
        program = batched.compiled(per_batch.drawing, model, **draw)
        compiled = program.lower(shapes.ema, shapes.ema_stats, {}, jax.random.key(1)).compile()
        placed = jax.device_put((params, stats), parallel.replicated(mesh))
        made.append(np.asarray(compiled(*placed, {}, jax.random.key(1))))
        flops.append(compiled.cost_analysis()["flops"])
    return {"difference": float(abs(made[0] - made[1]).max()), "share": flops[0] / flops[1]}


def pmap_against_jit():
    """The same pure step under pmap on shards of the same batch and noise."""
    start, _, _, model, optimizer = setup(parts=True, variant="prior=normal,smoke", **BATCH)
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
    micro = train(8, fsdp=True, **{"train.microbatches": "2"})
    runs = {"one": one, "eight": eight, "fsdp": sharded, "micro": micro}
    report = {
        "devices": jax.device_count(),
        "losses": {name: losses for name, (_, losses) in runs.items()},
        "params": {
            name: largest_difference(one[0].params, state.params)
            for name, (state, _) in runs.items()
        },
        "fsdp_leaves": sum(is_sharded(sharded[0])),
        "streamed": streamed(),
        "drawn": drawn(),
        "restored_elsewhere": restored_elsewhere(decoder_of(jax.device_get(one[0]))),
        "pmap": pmap_against_jit(),
    }
    json.dump(report, sys.stdout)
