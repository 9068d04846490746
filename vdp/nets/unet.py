"""A U-shaped denoiser of one or more resolutions (DDPM's blocks): images, latent maps, codes."""

import itertools
import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from vdp.nets.bottleneck import pool
from vdp.nets.embed import fourier, sinusoidal
from vdp.nets.same_conv import for_linen
from vdp.types import Array

GROUPS = 16
EPSILON = 1e-5  # of the normalisation
LECUN = nn.initializers.lecun_normal()
UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _norm(channels: int, dtype: str) -> nn.Module:
    groups = math.gcd(GROUPS, channels)
    return nn.GroupNorm(num_groups=groups, epsilon=EPSILON, dtype=dtype)


def _conv3x3(channels: int, dtype: str, kernel_init: Callable) -> nn.Module:
    body = dict(dtype=dtype, kernel_init=kernel_init, conv_general_dilated=for_linen)
    return nn.Conv(channels, (3, 3), **body)


class TimeResBlock(nn.Module):
    """Two 3x3 convolutions, the time as scale and shift between them; the second starts at zero."""

    width: int
    dropout: float = 0.0
    dtype: str = "float32"
    kernel_init: Callable = LECUN

    @nn.compact
    def __call__(self, x: Array, condition: Array, train: bool = False) -> Array:
        """[B, H, W, any] and a condition [B, any] to [B, H, W, width]."""
        h = nn.silu(_norm(x.shape[-1], self.dtype)(x))
        body = dict(dtype=self.dtype, kernel_init=self.kernel_init)
        h = _conv3x3(self.width, **body)(h)
        scale_shift = nn.Dense(2 * self.width, **body)(nn.silu(condition))
        scale, shift = jnp.split(scale_shift[:, None, None, :], 2, axis=-1)
        h = nn.silu(_norm(self.width, self.dtype)(h) * (1 + scale) + shift)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = _conv3x3(self.width, self.dtype, nn.initializers.zeros)(h)
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

    With several `multipliers` of the width there is one resolution for each, half the one before:
    `depth` blocks on the way down and `depth` + 1 on the way up at every one of them (DDPM), with
    attention where the height is one of `attention`. `fourier` appends the sines and cosines of
    2^n 2 pi y for its n, and `add_input` the input to the output (VDM). `remat` computes blocks
    again in the backward pass instead of keeping them.

    `published` is for weights carried over from the DVP program: it embeds time/1000, in [0, 1],
    by frequencies of at most 1, so that most of the embedding is constant; kernels that do not
    start at zero then start in U(+-1/sqrt(fan_in)).
    """

    width: int = 32
    depth: int = 2
    dropout: float = 0.0
    published: bool = False
    multipliers: tuple[int, ...] = (1,)
    attention: tuple[int, ...] = ()
    fourier: tuple[int, ...] = ()
    add_input: bool = False
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, y: Array, time: Array, *, train: bool = False) -> Array:
        """Y [B, H, W, C] and time [B] in [0, 1000] to float32 of y's shape."""
        halvings = 2 ** (len(self.multipliers) - 1)
        if y.shape[1] % halvings or y.shape[2] % halvings:
            raise ValueError(
                f"{len(self.multipliers)} resolutions need sides divisible by {halvings}, not "
                f"{y.shape[1]}x{y.shape[2]}"
            )
        if self.published:
            embedded = sinusoidal(time / 1000, self.width, spacing="open")
        else:
            embedded = sinusoidal(time, self.width)
        init = UNIFORM if self.published else LECUN
        condition = nn.Dense(self.width, kernel_init=init)(embedded)
        condition = nn.Dense(self.width, kernel_init=init)(nn.silu(condition)).astype(self.dtype)
        block_class = nn.remat(TimeResBlock, static_argnums=(3,)) if self.remat else TimeResBlock
        names = (f"TimeResBlock_{index}" for index in itertools.count())  # with remat as without

        def block(h, multiplier):
            width = multiplier * self.width
            body = block_class(width, self.dropout, self.dtype, init, name=next(names))
            return body(h, condition, train)

        def attended(h):
            return Attention(self.dtype, init)(h) if h.shape[1] in self.attention else h

        conv = lambda width: _conv3x3(width, self.dtype, init)
        h = conv(self.width)(fourier(y, self.fourier) if self.fourier else y)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            if level:
                h = conv(h.shape[-1])(pool(h, h.shape[1] // 2))
                skips.append(h)
            for _ in range(self.depth):
                h = attended(block(h, multiplier))
                skips.append(h)
        h = block(h, multiplier)
        h = block(Attention(self.dtype, init)(h), multiplier)
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.depth + 1):
                h = attended(block(jnp.concatenate([h, skips.pop()], axis=-1), multiplier))
            if level:
                h = conv(h.shape[-1])(h.repeat(2, axis=1).repeat(2, axis=2))
        h = nn.silu(_norm(self.width, self.dtype)(h))
        out = _conv3x3(y.shape[-1], self.dtype, nn.initializers.zeros)(h)
        return out.astype(jnp.float32) + (y if self.add_input else 0.0)
