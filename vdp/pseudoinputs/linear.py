"""A learned linear map of the image (Kuzina & Tomczak 2024)."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from vdp.pseudoinputs.base import Square


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(Square):
    """u = W x + b of the flattened image x in [-1, 1], unbounded; `back` resizes u."""

    def init(self, rng, x_shape, *, data=None):
        """{"kernel": [H*W*C, size*size*C], "bias": [size*size*C]}, U(+-1/sqrt(H*W*C)); no stats."""
        inputs, outputs = math.prod(x_shape), math.prod(self.shape(x_shape))
        kernel_rng, bias_rng = jax.random.split(rng)
        bound = inputs**-0.5
        kernel = jax.random.uniform(kernel_rng, (inputs, outputs), minval=-bound, maxval=bound)
        bias = jax.random.uniform(bias_rng, (outputs,), minval=-bound, maxval=bound)
        return {"kernel": kernel, "bias": bias}, {}

    def apply(self, params, stats, images):
        """u [B, size, size, C] of images [B, H, W, C] in [0, 1]."""
        x = (2 * jnp.asarray(images, jnp.float32) - 1).reshape(len(images), -1)
        u = jnp.dot(x, params["kernel"], precision=jax.lax.Precision.HIGHEST) + params["bias"]
        return u.reshape(-1, *self.shape(images.shape[1:]))


make = Linear
