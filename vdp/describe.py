"""What a config is, from shapes alone: parameters by role, FLOPs, data; no data, no memory."""

import jax
import jax.numpy as jnp

from vdp import build, state
from vdp import config as configs
from vdp.data import load as data_load
from vdp.types import Batch


def describe(config) -> dict:
    """The JSON object `--mode=describe` prints.

    Returns:
      {"parameters": {"total", by role}, "flops_per_example": training step (forward, backward)
      of one batch as XLA counts it, divided by its size, "data": ..., "config": ...}
    """
    facts = data_load.describe(config.data)
    model = build.model(_unrolled(config), facts)
    key = jax.random.key(config.seed)
    params, stats = jax.eval_shape(lambda: model.init(key, facts.shape))
    batch_size = config.train.batch_size
    images = jax.ShapeDtypeStruct((batch_size, *facts.shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    batch = Batch(target=images, input=images, label=labels)

    def gradient(params, stats, batch):
        def mean_loss(params):
            loss, _ = model.loss(params, stats, batch, key, step=jnp.int32(0), train=True)
            return jnp.mean(loss)

        return jax.grad(mean_loss)(params)

    # counted as for an accelerator: what CPU programs do in loops would be counted once
    traced = jax.jit(gradient).trace(params, stats, batch)
    analysis = traced.lower(lowering_platforms=("tpu",)).cost_analysis() or {}
    return {
        "parameters": state.count_parameters(params),
        "flops_per_example": float(analysis.get("flops", float("nan"))) / batch_size,
        "data": {
            "name": facts.info.name,
            "shape": list(facts.shape),
            "levels": facts.levels,
            "counts": facts.info.counts,
        },
        "config": configs.to_json(config),
    }


def _unrolled(config):
    """The config with every block of a hierarchy written out, so that each one is counted."""
    config = config.copy_and_resolve_references()
    for part in ("encoder", "decoder"):
        if "blocks_by" in config.model.get(part, {}):
            config.model[part].blocks_by = "loop"
    return config
