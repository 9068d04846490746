"""`--mode=describe`: what a config is, from shapes alone; of data that has a name it reads nothing.

With `describe.target` its programs are compiled for chips that need not be there, and read.
"""

import json
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp import build
from vdp.accelerators import compiling, products, report
from vdp.data import datasets
from vdp.data.feeds import is_resident
from vdp.data.transforms import batch_shapes
from vdp.record import RUN_FILE, read_run
from vdp.runtime import files, parallel
from vdp.settings import Settings, epochs, notes
from vdp.settings.parse import to_json
from vdp.training import state
from vdp.types import Array, Batch, Model, Params, Stats


def main(settings: Settings, workdir: pathlib.Path, *, parameters: bool = False) -> None:
    """Prints a table for people, and as the last line one JSON object for programs.

    Args:
      settings: of a config, or of a run.
      workdir: where it holds the run of these settings, facts of the data are those it has stored.
      parameters: whether every parameter is listed too, with its shape and size.

    Raises:
      UserError: the config cannot be built.
    """
    chips = compiling.chips(settings.describe.target) if settings.describe.target else None
    facts = _facts(settings, workdir)
    description = describe(settings, facts)
    if not parallel.is_writer():
        return
    for line in notes.in_words(settings):
        print(line)
    print(table(description), flush=True)
    if chips:
        say = lambda line: print(line, file=sys.stderr)
        description["target"] = found = report.describe(settings, facts, chips, say=say)
        print(f"\n{report.table(found)}")
    if parameters:
        print(parameter_table(settings, facts))
    print(json.dumps(description), flush=True)


def _facts(settings: Settings, workdir: pathlib.Path) -> datasets.Facts:
    """Facts of the data: those that a run of it in the workdir has stored, else looked up."""
    if (files.located(workdir) / RUN_FILE).is_file():
        record = read_run(workdir)
        stored = record.settings
        if record.data and (stored.data, stored.model) == (settings.data, settings.model):
            return datasets.recall(record.data, settings.data)
    return datasets.describe(settings.data)


def _template(settings: Settings, facts: datasets.Facts) -> tuple[Model, state.State]:
    """(model with every block counted by itself, shapes of its state)."""
    size, microbatches = settings.train.batch_size, settings.train.microbatches
    parallel.check_batch_size(1, size, "config.train.batch_size", microbatches=microbatches)
    model = build.model(_unrolled(settings.model), facts)
    _, template = state.template(settings, model, facts.shape, parallel.make_mesh())
    return model, template


def parameter_table(settings: Settings, facts: datasets.Facts) -> str:
    """Every parameter: its path, shape and how many numbers it has."""
    from clu import parameter_overview

    params = _template(settings, facts)[1].params
    return parameter_overview.get_parameter_overview(params, include_stats=False)


def describe(settings: Settings, facts: datasets.Facts | None = None) -> dict[str, Any]:
    """The JSON object of `--mode=describe`.

    Args:
      settings: of a config, or of a run.
      facts: of their data; None looks at it.

    Returns:
      {"parameters": {"total", by role}, "flops_per_example": products and convolutions of a
      gradient of one batch, divided by its size, the same on every machine, "state_bytes":
      parameters, their average and the optimiser's moments, "data": ... with the images of each
      split as it will be, "config": ... with lengths in epochs as steps}
    """
    facts = facts or datasets.describe(settings.data)
    model, template = _template(settings, facts)
    counts = datasets.split_counts(facts, settings.data)
    settings = epochs.resolve(settings, counts.get("train", 0))
    key = jax.random.key(settings.seed)
    params, stats = template.params, template.stats
    batch_size = settings.train.batch_size
    batch = batch_shapes(batch_size, facts.shape)

    def gradient(params: Params, stats: Stats, batch: Batch) -> Params:
        def mean_loss(params: Params) -> Float[Array, ""]:
            loss, _ = model.loss(params, stats, batch, key, step=jnp.int32(0), train=True)
            return jnp.mean(loss)

        return jax.grad(mean_loss)(params)

    traced = jax.jit(gradient).trace(params, stats, batch)
    flops = products.count(traced.jaxpr, "tpu").total()  # without what CPUs do in their own way
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template)]
    return {
        "parameters": state.count_parameters(params),
        "flops_per_example": flops / batch_size,
        "state_bytes": sum(sizes),
        "data": {
            "name": facts.info.name,
            "shape": list(facts.shape),
            "levels": facts.levels,
            "counts": counts,
        },
        "config": to_json(settings),
    }


def table(description: dict[str, Any]) -> str:
    """The result of `describe` for people: names on the left, one line each."""
    parameters, data, config = description["parameters"], description["data"], description["config"]
    model, train = config["model"], config["train"]
    prior = model.get("prior") or {}
    shape, flops = data["shape"], description["flops_per_example"]
    images = data["counts"].get("train", 0)
    stored, seen = images * math.prod(shape), train["steps"] * train["batch_size"]
    resident = is_resident(config["data"]["placement"], stored)
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
        "state": f"{mebibytes(description['state_bytes'])} "
        "(parameters, their average, the optimiser's)",
        "data": f"{data['name']}: {images:,} training images of {'x'.join(map(str, shape))}, "
        f"{data['levels']} levels, {mebibytes(stored)} on the {'device' if resident else 'host'}",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())


def _unrolled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The model's spec with every block of a hierarchy written out, so that each is counted."""
    parts = {part: dict(spec[part]) for part in ("encoder", "decoder") if part in spec}
    for part in parts.values():
        if "blocks_by" in part:
            part["blocks_by"] = "loop"
    return {**spec, **parts}
