"""A small convolutional encoder and decoder for images of any size."""

import math

import flax.linen as nn
import jax.numpy as jnp

from vdp.types import Array


class ConvEncoder(nn.Module):
    """A 4x4 convolution of stride 2 per entry of `channels`, then a dense layer and the output."""

    channels: tuple[int, ...] = (32, 64)
    hidden: int = 256
    zero_output: bool = True
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array, out_shape: tuple[int, ...], *, train: bool = False) -> Array:
        """[B, H, W, C] to float32 [B, *out_shape]."""
        h = x
        for width in self.channels:
            h = nn.silu(nn.Conv(width, (4, 4), (2, 2), padding="SAME", dtype=self.dtype)(h))
        h = nn.silu(nn.Dense(self.hidden, dtype=self.dtype)(h.reshape(h.shape[0], -1)))
        init = nn.initializers.zeros if self.zero_output else nn.linear.default_kernel_init
        h = nn.Dense(math.prod(out_shape), dtype=self.dtype, kernel_init=init)(h)
        return h.astype(jnp.float32).reshape(x.shape[0], *out_shape)


class ConvDecoder(nn.Module):
    """Dense layers to a small map, then one transposed convolution of stride 2 per channel entry.

    The map is ceil(size / 2^n); what is grown beyond the wanted size is cropped.
    """

    channels: tuple[int, ...] = (64, 32)
    hidden: int = 256
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: Array, out_shape: tuple[int, ...], *, train: bool = False) -> Array:
        """[B, ...] to float32 [B, H, W, C] = [B, *out_shape]."""
        height, width, features = out_shape
        factor = 2 ** len(self.channels)
        start = (math.ceil(height / factor), math.ceil(width / factor), self.channels[0])
        h = nn.silu(nn.Dense(self.hidden, dtype=self.dtype)(z.reshape(z.shape[0], -1)))
        h = nn.silu(nn.Dense(math.prod(start), dtype=self.dtype)(h))
        h = h.reshape(z.shape[0], *start)
        for channels in self.channels:
            h = nn.ConvTranspose(channels, (4, 4), (2, 2), padding="SAME", dtype=self.dtype)(h)
            h = nn.silu(h)
        h = h[:, :height, :width]
        h = nn.Conv(features, (3, 3), padding="SAME", dtype=self.dtype)(h)
        return h.astype(jnp.float32)
