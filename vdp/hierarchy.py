"""Pictures of hierarchical models: pseudo-inputs and what they bring forth, levels of detail."""

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

    def draw(model, params, stats, _, rng):
        u_rng, z_rng = jax.random.split(rng)
        u = model.sample_prior(params, stats, u_rng, CODES, x_shape=shape, **options)
        each = [model.prior_images(params, stats, u, shape)]
        for key in jax.random.split(z_rng, SAMPLES_EACH):
            each.append(model.sample(params, stats, key, CODES, x_shape=shape, u=u, **z_options))
        return each

    images = _on_devices(run, ("pseudoinputs", *options.items()), draw, seed=config.seed)
    if parallel.is_writer():
        pictures.save_grid(path, np.concatenate(images), CODES)


def write_levels(run: Run, path: pathlib.Path, images: np.ndarray) -> None:
    """Writes images above their reconstructions with the top k scales from the posterior.

    Rows: the image; what its pseudo-input shows, where there is one; then k = 0, 1, ... scales from
    q, the finer ones drawn from p.
    """
    images, model = images[:IMAGES], run.model
    rows = [images.astype(np.float32) / (run.facts.input_levels - 1)]
    shape, last = run.facts.shape, len(model.scales)

    def draw(model, params, stats, images, rng):
        found = []
        if model.over_code:
            u = model.code(params, stats, images / np.float32(model.input_levels - 1)).mean
            found.append(model.prior_images(params, stats, u, shape))
        for k in range(0 if model.over_code else 1, last + 1):
            found.append(model.reconstruct(params, stats, images, rng, num_scales=k))
        return found

    rows += _on_devices(run, ("levels", len(images)), draw, images, seed=run.config.sample.seed)
    if parallel.is_writer():
        pictures.save_grid(path, np.concatenate(rows), len(images))


def _on_devices(run: Run, key, function, array=None, *, seed: int = 0):
    """function(model, params, stats, array, rng), compiled for the run's mesh, as numpy."""
    compiled = run.evaluator.jitted(
        (*key, None if array is None else array.shape),
        lambda params, stats, whole, rng: function(run.model, params, stats, whole["all"], rng),
        split=False,
    )
    drawn = compiled(run.params, run.stats, {"all": array}, jax.random.key(seed))
    return jax.tree.map(np.asarray, drawn)
