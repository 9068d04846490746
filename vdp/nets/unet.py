"""A U-shaped denoiser of one resolution, for latent maps and pseudoinputs (DDPM's blocks)."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from vdp.nets.embed import sinusoidal
from vdp.types import Array

GROUPS = 16
EPSILON = 1e-5  # of the normalisation
LECUN = nn.initializers.lecun_normal()
UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _norm(channels: int, dtype: str) -> nn.Module:
    groups = math.gcd(GROUPS, channels)
    return nn.GroupNorm(num_groups=groups, epsilon=EPSILON, dtype=dtype)


class TimeResBlock(nn.Module):
    """Two 3x3 convolutions, the time as scale and shift between them; the second starts at zero."""

    width: int
    dropout: float = 0.0
    dtype: str = "float32"
    kernel_init: Callable = LECUN

    @nn.compact
    def __call__(self, x: Array, condition: Array, *, train: bool = False) -> Array:
        """[B, H, W, any] and a condition [B, any] to [B, H, W, width]."""
        h = nn.silu(_norm(x.shape[-1], self.dtype)(x))
        body = dict(dtype=self.dtype, kernel_init=self.kernel_init)
        h = nn.Conv(self.width, (3, 3), **body)(h)
        scale_shift = nn.Dense(2 * self.width, **body)(nn.silu(condition))
        scale, shift = jnp.split(scale_shift[:, None, None, :], 2, axis=-1)
        h = nn.silu(_norm(self.width, self.dtype)(h) * (1 + scale) + shift)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        if x.shape[-1] != self.width:
            x = nn.Conv(self.width, (1, 1), **body)(x)
        return x + h


class Attention(nn.Module):
    """Single-head self-attention over all positions; the projection starts at zero."""

    dtype: str = "float32"
    kernel_init: Callable = LECUN

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] to the same shape."""
        batch, height, width, channels = x.shape
        h = _norm(channels, self.dtype)(x).reshape(batch, height * width, channels)
        qkv = nn.Dense(3 * channels, dtype=self.dtype, kernel_init=self.kernel_init)
        query, key, value = jnp.split(qkv(h), 3, axis=-1)
        h = nn.dot_product_attention(query[:, :, None], key[:, :, None], value[:, :, None])[:, :, 0]
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return x + h.reshape(x.shape)


class UNetDenoiser(nn.Module):
    """`depth` blocks, a middle with attention, `depth` + 1 blocks on the skips; zero output.

    `published` is for weights carried over from the DVP program: it embeds time/1000, in [0, 1],
    by frequencies of at most 1, so that most of the embedding is constant; kernels that do not
    start at zero then start in U(+-1/sqrt(fan_in)).
    """

    width: int = 32
    depth: int = 2
    dropout: float = 0.0
    published: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, y: Array, time: Array, *, train: bool = False) -> Array:
        """Y [B, H, W, C] and time [B] in [0, 1000] to float32 of y's shape."""
        if self.published:
            embedded = sinusoidal(time / 1000, self.width, spacing="open")
        else:
            embedded = sinusoidal(time, self.width)
        init = UNIFORM if self.published else LECUN
        condition = nn.Dense(self.width, kernel_init=init)(embedded)
        condition = nn.Dense(self.width, kernel_init=init)(nn.silu(condition)).astype(self.dtype)
        block = lambda: TimeResBlock(self.width, self.dropout, self.dtype, init)
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=init)(y)
        skips = [h]
        for _ in range(self.depth):
            h = block()(h, condition, train=train)
            skips.append(h)
        h = block()(h, condition, train=train)
        h = block()(Attention(self.dtype, init)(h), condition, train=train)
        for skip in reversed(skips):
            h = block()(jnp.concatenate([h, skip], axis=-1), condition, train=train)
        h = nn.silu(_norm(self.width, self.dtype)(h))
        zeros = nn.initializers.zeros
        out = nn.Conv(y.shape[-1], (3, 3), dtype=self.dtype, kernel_init=zeros)(h)
        return out.astype(jnp.float32)
