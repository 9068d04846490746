"""What is mapped over batches: functions (model, params, stats, batch, rng, ...) of module level.

Each is compiled once for its model and options (`vdp.metrics.batched`). Some take latents or
nothing in place of a batch.
"""

import jax.numpy as jnp

from vdp import levels
from vdp.types import (
    Classifying,
    Encoding,
    Generative,
    Hierarchical,
    Latent,
    LatentGenerative,
    OverPrior,
    Reconstructing,
    Stochastic,
)


def reconstruct(model: Reconstructing, params, stats, batch, rng):
    """Mean images in [0, 1] of one posterior draw each, [B, H, W, C]."""
    return model.reconstruct(params, stats, batch.input, rng)


def encode(model: Encoding, params, stats, batch, rng):
    """q(z|x) of a batch's inputs: a Normal over [B, *latent_shape], or several by name."""
    return model.encode(params, stats, batch.input)


def drawing(model, params, stats, batch, rng, *, function, size, **options):
    """function(model, params, stats, rng, size, ...): draws that need no batch."""
    return function(model, params, stats, rng, size, **options)


def sample(model: Generative, params, stats, rng, size, **options):
    """[size, H, W, C] images in [0, 1]."""
    return model.sample(params, stats, rng, size, **options)


def sample_latents(model: LatentGenerative, params, stats, rng, size, **options):
    """[size, *latent_shape] draws of the prior."""
    return model.sample_latents(params, stats, rng, size, **options)


def denoising(model: OverPrior, params, stats, rng, size, *, x_shape, **options):
    """z_hat at every step of a diffusion prior's sampler, [size, T, *prior_shape]."""
    shape = model.prior_shape(x_shape)
    drawn = model.prior.denoising(params["prior"], rng, size, z_shape=shape, **options)
    return jnp.swapaxes(drawn[1], 0, 1)


def decode(model: Latent, params, stats, z, rng, *, x_shape):
    """Mean images in [0, 1] of latents z, [B, H, W, C]."""
    return model.decode_mean(params, stats, z, x_shape)


def show(model: OverPrior, params, stats, z, rng, *, x_shape):
    """What draws z of the prior look like, images in [0, 1], [B, H, W, C]."""
    return model.prior_images(params, stats, z, x_shape)


def latent_means(model: Stochastic, params, stats, batch, rng):
    """Posterior means of all latents, [B, draws, units]."""
    return model.latent_means(params, stats, batch, rng)


def clipped(model: Hierarchical, params, stats, batch, rng):
    """The share of clipped coefficients of the pseudo-input, [B]."""
    images = levels.to_unit(batch.input, model.input_levels)
    return model.pseudoinput.clipped(params["pseudoinput"], stats["pseudoinput"], images)


def correct(model: Classifying, params, stats, batch, rng):
    """Whether the most probable class is the label, bool [B]."""
    return model.correct(params, stats, batch)


def features(model: Classifying, params, stats, batch, rng, *, levels: int):
    """A classifier's features, [B, D], of images with this number of levels."""
    images = batch.input.astype(jnp.float32) / (levels - 1)
    return model.features(params, stats, images)[0]
