"""The digits smoke config's training step, with everything it is made of."""

import functools

import jax
import jax.numpy as jnp

from vdp import build, config
from vdp.data import datasets, feeds, transforms
from vdp.runtime import parallel, uncompiled
from vdp.training import optim, state, step

ROUNDED = {  # no gradient near zero is made a step of full size, and no mask is drawn
    "optim.eps": "1e-3", "model.encoder.dropout": "0", "model.decoder.dropout": "0",
}  # fmt: skip


def setup(
    num_steps=1, *, variant="smoke", mesh=None, parts=False, packed=False, rolled=True, **overrides
):
    """(state, chunk function, feed) of the digits smoke config, and its (model, optimizer)."""
    mesh = mesh or parallel.make_mesh(jax.devices()[:1])
    cfg = config.settings(f"digits_vae:{variant}", list(overrides.items()))
    dataset = datasets.load(cfg.data)
    facts = dataset.facts
    model = build.model(cfg.model, facts)
    params, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), facts.shape))
    optimizer = optim.make(cfg.optim, cfg.train.steps, params, packed=packed)
    create = functools.partial(state.create, model, optimizer)
    made = uncompiled.evaluated(create)(jax.random.key(cfg.seed), facts.shape)
    start = optimizer.pack(jax.tree.map(jnp.asarray, made))
    chunk = step.make_chunk(
        model,
        optimizer,
        transforms.make(cfg.data, facts.info.levels),
        seed=cfg.seed,
        batch_size=cfg.train.batch_size,
        num_steps=num_steps,
        ema_decay=cfg.train.ema_decay,
        ema_warmup=cfg.train.ema_warmup,
        microbatches=cfg.train.microbatches,
        rolled=rolled,
        constrain=parallel.batch_constraint(mesh),
    )
    feed = feeds.make(
        dataset.splits["train"],
        seed=cfg.seed,
        batch_size=cfg.train.batch_size,
        placement=cfg.data.placement,
        mesh=mesh,
    )
    return (start, chunk, feed, model, optimizer) if parts else (start, chunk, feed)
