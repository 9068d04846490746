"""The programs of a run, traced for chips that are not there: training, validation, samples."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from vdp import build
from vdp.accelerators import products
from vdp.accelerators.compiling import Chips
from vdp.data import datasets, feeds
from vdp.data.transforms import batch_shapes
from vdp.errors import UserError
from vdp.metrics import per_batch, score
from vdp.metrics.batched import Batched
from vdp.runtime import backend, parallel
from vdp.settings import Settings
from vdp.training import program, state
from vdp.types import Generative, Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """A program of shapes, traced and not yet compiled.

    Attributes:
      traced: what `vdp.accelerators.compiling.compiled` takes.
      batch_size: images of one step, on all devices together.
      steps: of one run of the program.
      flops: of products and convolutions of one step on one device, by rate.
    """

    traced: Any
    batch_size: int
    steps: int
    flops: products.Flops


def planned(
    name: str,
    settings: Settings,
    facts: datasets.Facts,
    chips: Chips,
) -> Planned:
    """Traces one program of a run.

    Args:
      name: "train", "eval" (a validation's batch) or "sample" (as many images as such a batch).
      settings: of the run, with lengths in steps.
      facts: of its data.
      chips: the target.

    Raises:
      UserError: the batch does not fall evenly on the devices, or the model cannot be sampled.
    """
    section = "train" if name == "train" else "eval"
    batch_size = getattr(settings, section).batch_size
    parallel.check_batch_size(
        chips.mesh.size,
        batch_size,
        f"config.{section}.batch_size",
        microbatches=settings.train.microbatches if name == "train" else 1,
    )
    with backend.tracing_for(chips.platform):
        model = build.model(settings.model, facts)
        traced, steps = PROGRAMS[name](settings, model, facts, chips.mesh)
    counted = products.count(traced.jaxpr, chips.platform)
    flops = {rate: number / steps / chips.mesh.size for rate, number in counted.items()}
    return Planned(traced=traced, batch_size=batch_size, steps=steps, flops=products.Flops(flops))


def _train(
    settings: Settings, model: Model, facts: datasets.Facts, mesh: jax.sharding.Mesh
) -> tuple[Any, int]:
    train, steps = settings.train, min(program.chunk_steps(settings), settings.train.steps)
    optimizer, template = state.template(settings, model, facts.shape, mesh)
    counts = datasets.split_counts(facts, settings.data)
    feed = feeds.shapes(
        counts.get("train", train.batch_size),
        facts.shape,
        batch_size=train.batch_size,
        num_steps=steps,
        placement=settings.data.placement,
        mesh=mesh,
    )
    carried = state.carried(optimizer, template)
    of = (settings, model, optimizer, facts.info.levels, carried, mesh)
    return program.chunk(*of, num_steps=steps).trace(carried, feed), steps


def _eval(
    settings: Settings, model: Model, facts: datasets.Facts, mesh: jax.sharding.Mesh
) -> tuple[Any, int]:
    batch = batch_shapes(settings.eval.batch_size, facts.shape)
    return _batched(settings, model, facts, mesh, batch, score.flat_terms)


def _sample(
    settings: Settings, model: Model, facts: datasets.Facts, mesh: jax.sharding.Mesh
) -> tuple[Any, int]:
    if not isinstance(model, Generative):
        raise UserError(
            f"a model {settings.model['name']!r} draws no images: leave sample out of "
            "config.describe.programs"
        )
    options = settings.sample.options()
    build.check_sampler(model, options)
    options |= dict(function=per_batch.sample, size=settings.eval.batch_size, x_shape=facts.shape)
    return _batched(settings, model, facts, mesh, {}, per_batch.drawing, **options)


def _batched(
    settings: Settings,
    model: Model,
    facts: datasets.Facts,
    mesh: jax.sharding.Mesh,
    batch: Any,
    mapped: Callable,
    /,
    **options: Any,
) -> tuple[Any, int]:
    opened = state.evaluated_template(settings, model, facts.shape, mesh)
    batched = Batched(mesh, settings.eval.batch_size, settings.eval.seed)
    key = jax.eval_shape(lambda: jax.random.key(0))
    compiled: Any = batched.compiled(mapped, model, **options)
    return compiled.trace(opened.ema, opened.ema_stats, batch, key), 1


PROGRAMS = {"train": _train, "eval": _eval, "sample": _sample}
