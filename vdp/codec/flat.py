"""Models of one latent: VAEs of any prior that is coded, and diffusion in pixel space."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from vdp.codec import pixels, priors
from vdp.codec.bits_back import BitsBack, Coder
from vdp.codec.latents import Latent
from vdp.codec.pixels import Pixels
from vdp.codec.programs import Program
from vdp.models.pixel import PixelDiffusion
from vdp.models.vae import VAE
from vdp.types import Array, Params, Shape, Stats


class Flat:
    """Images under p(z) p(x|z), bits-back by q(z|x).

    Args:
      model: a VAE or a `PixelDiffusion`.
      params: of the model.
      stats: of the model.
      x_shape: (H, W, C).
      lanes: the most images at once.
      bins: of the grids, per standard deviation.

    Raises:
      UserError: the prior or the likelihood cannot be coded.
    """

    def __init__(
        self, model: VAE | PixelDiffusion, params: Params, stats: Stats, x_shape: Shape,
        *, lanes: int, bins: float,
    ) -> None:  # fmt: skip
        self.grid: tuple[int, ...] = ()
        pixels.check(model.likelihood, x_shape[2])
        self._shape = tuple(x_shape)
        posterior, outputs = _of_a_vae(model, x_shape) if isinstance(model, VAE) else _of(model)

        def table(params: Params, stats: Stats, channel: Array, z: Array, images: Array) -> Array:
            found = outputs(params, stats, z)
            return pixels.masses(model.likelihood, found, images.astype(jnp.int32), channel)

        self._posterior = Program(posterior, params, stats, lanes)
        self._table = Program(table, params, stats, lanes)
        encode, floor = None, 0.0
        if isinstance(model, VAE):
            encode, floor = model.encode_fn(params, stats), model.log_var_floor
        self._latent: Latent = priors.over(
            model.prior, params["prior"], stats["prior"], model.prior_shape(x_shape),
            encode=encode, finest=float(np.exp(0.5 * floor)),
            lanes=lanes, bins=bins,
        )  # fmt: skip

    def calibrate(self, images: UInt8[np.ndarray, "n h w c"]) -> None:
        """Does nothing: the grids follow from the model."""

    def images(self, count: int) -> Coder:
        """The distribution of as many images, uint8 [count, H, W, C]."""

        def likelihood(k: Any) -> Pixels:
            z = self._latent.values(k)
            table = lambda known, channel: self._table(z, known, index=channel)
            return Pixels(table=table, shape=(count, *self._shape))

        def posterior(x: UInt8[np.ndarray, "b h w c"]) -> Coder:
            return self._latent.posterior(*self._posterior(x))

        prior = self._latent.prior(count)
        return BitsBack(prior=prior, likelihood=likelihood, posterior=posterior)


def _of_a_vae(model: VAE, x_shape: Shape) -> tuple[Any, Any]:
    """(moments of q from levels, likelihood outputs from z), to be compiled."""

    def posterior(params: Params, stats: Stats, images: Array) -> tuple[Array, Array]:
        q = model.encode(params, stats, images)
        return q.mean, q.log_var

    return posterior, lambda params, stats, z: model.decode(params, stats, z, x_shape)[0]


def _of(model: PixelDiffusion) -> tuple[Any, Any]:
    """The same of a diffusion in pixel space."""

    def posterior(params: Params, stats: Stats, images: Array) -> tuple[Array, Array]:
        q = model.posterior_of_levels(params, images)
        return q.mean, q.log_var

    return posterior, lambda params, stats, z: model.outputs(params, z)
