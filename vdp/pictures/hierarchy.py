"""Pictures of hierarchical models: pseudo-inputs and what they bring forth, levels of detail."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, UInt8

from vdp import levels
from vdp.pictures import grids, style
from vdp.run import Run
from vdp.runtime import parallel
from vdp.types import AnyArray, Array, Hierarchical, Key, Params, Shape, Stats

CODES, SAMPLES_EACH = 12, 6
IMAGES = 12


def write_pseudoinputs(run: Run[Hierarchical], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes a row of pseudo-inputs drawn from their prior above samples drawn from each.

    Nothing is written of a ladder without pseudo-inputs.
    """
    if run.model.pseudoinput is None:
        return []
    chosen, formats = run.settings.sample, run.settings.log.figures
    path = folder / "pseudoinputs.png"
    options = dict(chosen.options())
    temperature = options.pop("z_temperature", ())
    images = _on_devices(
        run, _pseudoinputs, seed=chosen.seed, x_shape=run.facts.shape, temperature=temperature,
        options=tuple(options.items()),
    )  # fmt: skip
    if parallel.is_writer():
        rows = ["pseudo-input", *(f"sample {number}" for number in range(1, SAMPLES_EACH + 1))]
        grids.save_grid(path, np.concatenate(images), CODES, rows=rows, formats=formats)
    return style.paths(path, formats)


def _pseudoinputs(
    model: Hierarchical,
    params: Params,
    stats: Stats,
    _: None,
    rng: Key,
    *,
    x_shape: Shape,
    temperature: Sequence[float],
    options: tuple[tuple[str, Any], ...],
) -> list[Float[Array, "n h w c"]]:
    """Images of CODES pseudo-inputs, and those of SAMPLES_EACH samples of every one, in rows."""
    u_rng, z_rng = jax.random.split(rng)
    u = model.sample_prior(params, stats, u_rng, CODES, x_shape=x_shape, **dict(options))
    rows = jnp.tile(u, (SAMPLES_EACH, *(1 for _ in u.shape[1:])))
    drawn = model.sample(
        params, stats, z_rng, len(rows), x_shape=x_shape, u=rows, z_temperature=temperature
    )
    return [model.prior_images(params, stats, u, x_shape), drawn]


def write_levels(
    run: Run[Hierarchical],
    folder: pathlib.Path,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int32[np.ndarray, "n"],
) -> list[pathlib.Path]:
    """Writes images above their reconstructions with the top k scales from the posterior.

    Rows: the image; what its pseudo-input shows, where there is one; then k = 0, 1, ... scales from
    q, the finer ones drawn from p. Each row is labelled.

    Args:
      run: of a `Hierarchical` model.
      folder: for levels.png.
      images: as the encoder sees them, uint8 [N, H, W, C]; IMAGES of them at most are used.
      labels: not looked at.
    """
    images, path, formats = images[:IMAGES], folder / "levels.png", run.settings.log.figures
    sheet = [levels.to_unit(images, run.facts.input_levels)]
    sheet += _on_devices(run, _levels, images, seed=run.settings.sample.seed)
    if parallel.is_writer():
        rows = level_labels(run.model)
        grids.save_grid(path, np.concatenate(sheet), len(images), rows=rows, formats=formats)
    return style.paths(path, formats)


def level_labels(model: Hierarchical) -> list[str]:
    """What each row of `write_levels` is called."""
    num, over_code = len(model.scales), model.pseudoinput is not None
    names = ["image", *(["pseudo-input"] if over_code else [])]
    return names + [f"q: {k} of {num} scales" for k in range(0 if over_code else 1, num + 1)]


def _levels(
    model: Hierarchical, params: Params, stats: Stats, images: UInt8[Array, "n h w c"], rng: Key
) -> list[Float[Array, "n h w c"]]:
    """The rows of `write_levels` below the images themselves."""
    x_shape, over_code = images.shape[1:], model.pseudoinput is not None
    rows = []
    if over_code:
        u = model.code(params, stats, levels.to_unit(images, model.input_levels)).mean
        rows.append(model.prior_images(params, stats, u, x_shape))
    for k in range(0 if over_code else 1, len(model.scales) + 1):
        rows.append(model.reconstruct(params, stats, images, rng, num_scales=k))
    return rows


def _on_devices(
    run: Run[Hierarchical],
    function: Callable,
    array: AnyArray | None = None,
    *,
    seed: int,
    **options: Any,
) -> list[np.ndarray]:
    """function(model, params, stats, array, rng, **options) on all devices, as numpy."""
    program = run.batched.compiled(function, run.model, split=False, **options)
    drawn = program(run.params, run.stats, array, jax.random.key(seed))
    return jax.tree.map(np.asarray, drawn)
