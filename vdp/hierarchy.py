"""Pictures of hierarchical models: pseudo-inputs and what they bring forth, levels of detail."""

import functools
import pathlib

import jax
import numpy as np

from vdp import parallel
from vdp.evals import pictures
from vdp.run import Run, sampler_options

CODES, SAMPLES_EACH = 12, 6
IMAGES = 12


def write_pseudoinputs(run: Run, path: pathlib.Path) -> None:
    """Writes a row of pseudo-inputs drawn from their prior above samples drawn from each."""
    shape, config = run.facts.shape, run.config.sample
    options = sampler_options(config)
    z_options = {"z_temperature": options.pop("z_temperature", ())}

    def draw(model, params, stats, rng):
        u_rng, z_rng = jax.random.split(rng)
        u = model.sample_prior(params, stats, u_rng, CODES, x_shape=shape, **options)
        each = [model.code_images(params, stats, u, shape)]
        for key in jax.random.split(z_rng, SAMPLES_EACH):
            each.append(model.sample(params, stats, key, CODES, x_shape=shape, u=u, **z_options))
        return each

    drawn = jax.jit(functools.partial(draw, run.model))
    images = drawn(run.params, run.stats, jax.random.key(config.seed))
    if parallel.is_writer():
        pictures.save_grid(path, np.concatenate(images), CODES)


def write_levels(run: Run, path: pathlib.Path, images: np.ndarray) -> None:
    """Writes images above their reconstructions with the top k scales from the posterior.

    Rows: the image; what its pseudo-input shows, where there is one; then k = 0, 1, ... scales from
    q, the finer ones drawn from p.
    """
    images, model = images[:IMAGES], run.model
    rows = [images.astype(np.float32) / (run.facts.input_levels - 1)]
    key = jax.random.key(run.config.sample.seed)
    if model.over_code:
        shape = run.facts.shape
        shown = lambda p, s, x: model.code_images(p, s, model.code(p, s, x).mean, shape)
        rows.append(np.asarray(jax.jit(shown)(run.params, run.stats, rows[0])))
    for num_scales in range(0 if model.over_code else 1, len(model.scales) + 1):
        again = jax.jit(functools.partial(model.reconstruct, num_scales=num_scales))
        rows.append(np.asarray(again(run.params, run.stats, images, key)))
    if parallel.is_writer():
        pictures.save_grid(path, np.concatenate(rows), len(images))


def images_of_codes(run: Run, u: np.ndarray) -> np.ndarray:
    """What pseudo-inputs [N, ...] look like: [N, H, W, C] in [0, 1]."""
    shown = functools.partial(run.model.code_images, x_shape=run.facts.shape)
    return np.asarray(jax.jit(shown)(run.params, run.stats, u))
