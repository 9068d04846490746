"""A learned linear map of the image (Kuzina & Tomczak 2024)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Float32

from vdp.pseudoinputs.base import Square
from vdp.types import Array, Images, Key, Levels, Params, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(Square):
    """The product u = W x + b of the flattened image x in [-1, 1], unbounded; `back` resizes u."""

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """{"kernel": [H*W*C, size*size*C], "bias": [size*size*C]}, no stats.

        All are uniform in +-1/sqrt(H*W*C).
        """
        inputs, outputs = math.prod(x_shape), math.prod(self.shape(x_shape))
        kernel_rng, bias_rng = jax.random.split(rng)
        bound = inputs**-0.5
        kernel = jax.random.uniform(kernel_rng, (inputs, outputs), minval=-bound, maxval=bound)
        bias = jax.random.uniform(bias_rng, (outputs,), minval=-bound, maxval=bound)
        return {"kernel": kernel, "bias": bias}, {}

    def apply(self, params: Params, stats: Stats, images: Images) -> Float32[Array, "b s s c"]:
        """Codes u [B, size, size, C] of images [B, H, W, C] in [0, 1]."""
        x = (2 * jnp.asarray(images, jnp.float32) - 1).reshape(len(images), -1)
        product = jnp.dot(x, params["kernel"], precision=jax.lax.Precision.HIGHEST)
        u = product + params["bias"][None]
        return u.reshape(-1, *self.shape(images.shape[1:]))


make = Linear
