"""What a config is, from shapes alone: parameters by role, FLOPs, data; no data, no memory."""

import math

import jax
import jax.numpy as jnp

from vdp import build, parallel, state
from vdp import config as configs
from vdp.data import load as data_load
from vdp.data.feeds import DEVICE_LIMIT
from vdp.run import state_template
from vdp.types import Batch


def describe(config) -> dict:
    """The JSON object `--mode=describe` prints.

    Returns:
      {"parameters": {"total", by role}, "flops_per_example": training step (forward, backward)
      of one batch as XLA counts it, divided by its size, "state_bytes": parameters, their average
      and the optimiser's moments, "data": ..., "config": ...}
    """
    facts = data_load.describe(config.data)
    model = build.model(_unrolled(config), facts)
    key = jax.random.key(config.seed)
    _, template = state_template(config, model, facts.shape, parallel.make_mesh())
    params, stats = template.params, template.stats
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
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template)]
    return {
        "parameters": state.count_parameters(params),
        "flops_per_example": float(analysis.get("flops", float("nan"))) / batch_size,
        "state_bytes": sum(sizes),
        "data": {
            "name": facts.info.name,
            "shape": list(facts.shape),
            "levels": facts.levels,
            "counts": facts.info.counts,
        },
        "config": configs.to_json(config),
    }


def table(found: dict) -> str:
    """The result of `describe` for people: names on the left, one line each."""
    parameters, data, config = found["parameters"], found["data"], found["config"]
    model, train = config["model"], config["train"]
    prior = model.get("prior") or {}
    shape, flops = data["shape"], found["flops_per_example"]
    images = data["counts"].get("train", 0) - config["data"]["num_validation"]
    stored, seen = images * math.prod(shape), train["steps"] * train["batch_size"]
    placement = config["data"]["placement"]
    resident = placement == "device" or (placement == "auto" and stored <= DEVICE_LIMIT)
    mebibytes = lambda size: f"{size / 2**20:,.1f} MiB"
    rows = {
        "model": model["name"] + (f" with prior {prior['name']}" if prior else ""),
        "parameters": f"{parameters['total']:,}",
        **{f"  {role}": f"{n:,}" for role, n in parameters.items() if role != "total"},
        "training": f"{train['steps']:,} steps of {train['batch_size']} images, "
        f"{seen / max(images, 1):,.4g} epochs"
        + (f", at most {train['seconds']:g} s" if train["seconds"] else ""),
        "arithmetic": f"{flops / 1e9:.4g} GFLOP an image"
        + ("" if train["seconds"] else f", {flops * seen / 1e15:.4g} PFLOP in all"),
        "state": f"{mebibytes(found['state_bytes'])} (parameters, their average, the optimiser's)",
        "data": f"{data['name']}: {images:,} training images of {'x'.join(map(str, shape))}, "
        f"{data['levels']} levels, {mebibytes(stored)} on the {'device' if resident else 'host'}",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())


def _unrolled(config):
    """The config with every block of a hierarchy written out, so that each one is counted."""
    config = config.copy_and_resolve_references()
    for part in ("encoder", "decoder"):
        if "blocks_by" in config.model.get(part, {}):
            config.model[part].blocks_by = "loop"
    return config
