"""What is mapped over batches: functions (model, params, stats, batch, rng, ...) of module level.

Each is compiled once for its model and options (`vdp.metrics.batched`). Some take latents z or
nothing in place of a batch, and those that draw take a `size`, how many. `params` and `stats` are
the model's, `rng` is a key, and `x_shape` (H, W, C) of one image.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Bool, Float

from vdp.diffusion.chains import widths_shape
from vdp.levels import to_unit
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import (
    Array,
    Batch,
    ByUnit,
    Classifying,
    Coded,
    DiffusionLike,
    Encoding,
    Fittable,
    Generative,
    Hierarchical,
    Key,
    Latent,
    LatentGenerative,
    OverPrior,
    Params,
    Partial,
    Reconstructing,
    Stats,
    Stochastic,
)

Images = Float[Array, "b h w c"]  # in [0, 1]
XShape = tuple[int, int, int]


def reconstruct(
    model: Reconstructing, params: Params, stats: Stats, batch: Batch, rng: Key
) -> Images:
    """Mean images in [0, 1] of one posterior draw each, [B, H, W, C]."""
    return model.reconstruct(params, stats, batch.input, rng)


def encode(model: Encoding, params: Params, stats: Stats, batch: Batch, rng: Key) -> Any:
    """Posteriors q(z|x) of a batch's inputs: a Normal over [B, *latent_shape], or several."""
    return model.encode(params, stats, batch.input)


def drawing(
    model: Any,
    params: Params,
    stats: Stats,
    batch: Any,
    rng: Key,
    *,
    function: Callable,
    size: int,
    **options: Any,
) -> Float[Array, "{size} *x"]:
    """Draws that need no batch: function(model, params, stats, rng, size, **options).

    Args:
      model: the function's first argument.
      params: of the model.
      stats: of the model.
      batch: not looked at.
      rng: a key.
      function: what draws; of this module.
      size: how many are drawn.
      options: of the function.
    """
    return function(model, params, stats, rng, size, **options)


def sample(
    model: Generative, params: Params, stats: Stats, rng: Key, size: int, **options: Any
) -> Float[Array, "{size} h w c"]:
    """Draws images in [0, 1], [size, H, W, C]."""
    return model.sample(params, stats, rng, size, **options)


def sample_latents(
    model: LatentGenerative, params: Params, stats: Stats, rng: Key, size: int, **options: Any
) -> Float[Array, "{size} *z"]:
    """Draws latents of the prior, [size, *latent_shape]."""
    return model.sample_latents(params, stats, rng, size, **options)


def denoising(
    model: OverPrior,
    params: Params,
    stats: Stats,
    rng: Key,
    size: int,
    *,
    x_shape: XShape,
    **options: Any,
) -> Float[Array, "{size} t *z"]:
    """z_hat at every step of a diffusion prior's sampler, [size, T, *prior_shape]."""
    assert isinstance(model.prior, DiffusionLike)
    shape = model.prior_shape(x_shape)
    drawn = model.prior.denoising(
        params["prior"], stats["prior"], rng, size, z_shape=shape, **options
    )
    return jnp.swapaxes(drawn[1], 0, 1)


def decode(
    model: Latent,
    params: Params,
    stats: Stats,
    z: Float[Array, "b *z"],
    rng: Key,
    *,
    x_shape: XShape,
) -> Images:
    """Mean images in [0, 1] of latents z, [B, H, W, C]."""
    return model.decode_mean(params, stats, z, x_shape)


def show(
    model: OverPrior,
    params: Params,
    stats: Stats,
    z: Float[Array, "b *z"],
    rng: Key,
    *,
    x_shape: XShape,
) -> Images:
    """What draws z of the prior look like, images in [0, 1], [B, H, W, C]."""
    return model.prior_images(params, stats, z, x_shape)


def latent_means(
    model: Stochastic, params: Params, stats: Stats, batch: Batch, rng: Key
) -> Float[Array, "b draws units"]:
    """Posterior means of all latents, [B, draws, units]."""
    return model.latent_means(params, stats, batch, rng)


def unit_rates(
    model: ByUnit, params: Params, stats: Stats, batch: Batch, rng: Key
) -> Float[Array, "b units"]:
    """The rate of every unit of all latents, [B, units] nats."""
    return model.unit_rates(params, stats, batch, rng)


def code_log_prob(
    model: Coded, params: Params, stats: Stats, batch: Batch, rng: Key
) -> dict[str, Float[Array, "b"]]:
    """{"value": log density of the code under the prior, or a bound on it, [B] nats}."""
    return {"value": model.code_log_prob(params, stats, batch, rng)}


def errors(
    model: Fittable, params: Params, stats: Stats, batch: Batch, rng: Key, *, num: int
) -> dict[str, Float[Array, "b m ..."]]:
    """The squared errors of a diffusion prior's denoiser: what its chain is fitted to.

    {"gamma": [B, M + 1], "square": [B, M + 1, *s]}, the same gammas for all images; for a
    latent of more than MOST_WIDTHS coefficients, the mean over them.

    Args:
      model: with a diffusion prior.
      params: of the model.
      stats: of the model.
      batch: B images.
      rng: a key.
      num: M, of `DiffusionPrior.errors`.
    """
    assert isinstance(model.prior, DiffusionPrior)
    q = model.prior_posterior(params, stats, batch)
    gamma, square = model.prior.errors(params["prior"], q, rng, num)
    if widths_shape(q.mean.shape[1:]) != q.mean.shape[1:]:
        square = jnp.mean(square, axis=tuple(range(2, square.ndim)), keepdims=True)
    return {
        "gamma": jnp.broadcast_to(gamma, (q.mean.shape[0], num + 1)),
        "square": jnp.swapaxes(square, 0, 1),
    }


def partial_bounds(
    model: Partial,
    params: Params,
    stats: Stats,
    batch: Batch,
    rng: Key,
    *,
    nums: tuple[int, ...],
) -> dict[str, Float[Array, "b"]]:
    """{str(n): the bound in which n coarsest scales, and u, are drawn from q, [B] nats}.

    Args:
      model: a ladder.
      params: of the model.
      stats: of the model.
      batch: B examples.
      rng: a key.
      nums: every n that is wanted.
    """
    bound = lambda num: model.partial_elbo(params, stats, batch, rng, num_scales=num).value
    return {str(num): bound(num) for num in nums}


def clipped(
    model: Hierarchical, params: Params, stats: Stats, batch: Batch, rng: Key
) -> Float[Array, "b"]:
    """The share of clipped coefficients of the pseudo-input, [B]."""
    assert model.pseudoinput is not None
    images = to_unit(batch.input, model.input_levels)
    return model.pseudoinput.clipped(params["pseudoinput"], stats["pseudoinput"], images)


def correct(
    model: Classifying, params: Params, stats: Stats, batch: Batch, rng: Key
) -> Bool[Array, "b"]:
    """Whether the most probable class is the label, bool [B]."""
    return model.correct(params, stats, batch)


def features(
    model: Classifying, params: Params, stats: Stats, batch: Batch, rng: Key, *, levels: int
) -> Float[Array, "b d"]:
    """A classifier's features, [B, D], of the batch's inputs, which have 0..levels - 1."""
    images = to_unit(batch.input, levels)
    return model.features(params, stats, images)[0]
