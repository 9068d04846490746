"""A U-shaped denoiser of one or more resolutions (DDPM's blocks): images, latent maps, codes."""

import itertools
import math
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.errors import UserError, choose_from
from vdp.nets.bottleneck import pool
from vdp.nets.embed import fourier, sinusoidal
from vdp.nets.remat import keep, remat
from vdp.nets.same_conv import for_linen
from vdp.settings.rules import Amount, AtLeast, Depth, Dtype, Share, Size, SizeOrNone, Sizes
from vdp.types import Array, Key, Shape

TIME_AS = ("scale_shift", "shift")
MOST_FOURIER = 24  # of 2^n: what is beyond has no digits left in float32


def _norm(channels: int, groups: int, epsilon: float, dtype: str) -> nn.Module:
    return nn.GroupNorm(num_groups=math.gcd(groups, channels), epsilon=epsilon, dtype=dtype)


def _start(published: bool, fan_in: int) -> dict[str, Any]:
    """How kernel and bias of a layer start that does not start at zero."""
    if not published:
        return dict(kernel_init=nn.initializers.lecun_normal())
    limit = fan_in**-0.5

    def uniform(rng: Key, shape: Shape, dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(rng, shape, dtype, -limit, limit)

    return dict(kernel_init=uniform, bias_init=uniform)


ZERO: dict[str, Any] = dict(kernel_init=nn.initializers.zeros)


def _conv3x3(channels: int, dtype: str, start: dict[str, Any]) -> nn.Module:
    return nn.Conv(channels, (3, 3), dtype=dtype, conv_general_dilated=for_linen, **start)


class TimeResBlock(nn.Module):
    """Two 3x3 convolutions, the time between them; the second starts at zero.

    Attributes:
      width: channels of the output.
      dropout: before the second convolution.
      time_as: "scale_shift" of the normalised features (Nichol & Dhariwal 2021), or a "shift" of
        what the first convolution gives, which starts at zero (VDM).
      groups: of the normalisation.
      epsilon: of the normalisation: what is added to a variance.
      published: how it starts, as of `UNetDenoiser`.
      dtype: of the arithmetic.
    """

    width: int
    dropout: Share = 0.0
    time_as: str = "scale_shift"
    groups: Size = 16
    epsilon: Amount = 1e-5
    published: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], condition: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b h w {self.width}"]:
        """Maps [B, H, W, any] under a condition [B, any] to [B, H, W, width]."""
        start = lambda fan_in: _start(self.published, fan_in)
        h = nn.silu(_norm(x.shape[-1], self.groups, self.epsilon, self.dtype)(x))
        h = keep(_conv3x3(self.width, self.dtype, start(9 * h.shape[-1]))(h))
        condition = nn.silu(condition)
        if self.time_as == "shift":
            shift = nn.Dense(self.width, use_bias=False, dtype=self.dtype, **ZERO)(condition)
            h = _norm(self.width, self.groups, self.epsilon, self.dtype)(
                h + shift[:, None, None, :]
            )
        else:
            body: dict[str, Any] = dict(dtype=self.dtype, **start(condition.shape[-1]))
            scale_shift = nn.Dense(2 * self.width, **body)(condition)
            scale, shift = jnp.split(scale_shift[:, None, None, :], 2, axis=-1)
            h = _norm(self.width, self.groups, self.epsilon, self.dtype)(h) * (1 + scale) + shift
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(h))
        h = _conv3x3(self.width, self.dtype, ZERO)(h)
        if x.shape[-1] != self.width:
            x = nn.Conv(self.width, (1, 1), dtype=self.dtype, **start(x.shape[-1]))(x)
        return x + h


class Attention(nn.Module):
    """Single-head self-attention over all positions; the projection starts at zero."""

    groups: Size = 16
    epsilon: Amount = 1e-5
    published: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Maps [B, H, W, C] to the same shape."""
        batch, height, width, channels = x.shape
        h = _norm(channels, self.groups, self.epsilon, self.dtype)(x).reshape(
            batch, height * width, channels
        )
        qkv = nn.Dense(3 * channels, dtype=self.dtype, **_start(self.published, channels))
        query, key, value = jnp.split(qkv(h), 3, axis=-1)
        h = nn.dot_product_attention(query[:, :, None], key[:, :, None], value[:, :, None])[:, :, 0]
        h = nn.Dense(channels, dtype=self.dtype, **ZERO)(h)
        return x + h.reshape(x.shape)


class UNetDenoiser(nn.Module):
    """`depth` blocks, a middle with attention, `depth` + 1 blocks on the skips; zero output.

    With several `multipliers` there is one resolution for each, half the one before: `depth` blocks
    on the way down and `depth` + 1 on the way up at every one of them (DDPM).

    Attributes:
      width: channels of the features.
      depth: blocks on the way down, of every resolution.
      dropout: before the second convolution of a block.
      published: whether it is for weights carried over from the DVP program: it then embeds
        time/1000, in [0, 1], by frequencies of at most 1, so that most of the embedding is
        constant; kernels and biases that do not start at zero start in U(+-1/sqrt(fan_in)).
      multipliers: of the width, one for each resolution, the finest first.
      attention: heights of the maps with attention beside those in the middle.
      fourier: n for which sines and cosines of 2^n 2 pi y are appended to the input (VDM).
      add_input: whether the output is a change of the input (VDM).
      time_width: of the two layers that the time goes through; 0: the width (VDM: 4 of it).
      time_as: how it goes into every block, as of `TimeResBlock` (VDM: "shift").
      groups: of the normalisation (VDM: 32).
      epsilon: of the normalisation: what is added to a variance (VDM: 1e-6).
      remat: whether the backward pass keeps only the first convolution of a block, and computes the
        rest again.
      dtype: of the arithmetic.
    """

    width: Annotated[int, AtLeast(2, most=2**20)] = 32  # half of it are frequencies of the time
    depth: Depth = 2
    dropout: Share = 0.0
    published: bool = False
    multipliers: Sizes = (1,)
    attention: tuple[int, ...] = ()
    fourier: tuple[int, ...] = ()
    add_input: bool = False
    time_width: SizeOrNone = 0
    time_as: str = "scale_shift"
    groups: Size = 16
    epsilon: Amount = 1e-5
    remat: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, y: Float[Array, "b *map"], time: Float[Array, "b"], *, train: bool = False
    ) -> Float[Array, "b *map"]:
        """Maps y [B, H, W, C] at times [B] in [0, 1000] to float32 of y's shape.

        Raises:
          UserError: y is no map, or one of 1x1, its sides cannot be halved as often as there are
            resolutions, or there is to be attention where there is no map of that height.
        """
        if y.ndim != 4:
            raise UserError(
                f"a UNet denoises maps [H, W, C], not {list(y.shape[1:])}: MLPDenoiser denoises any"
            )
        if y.shape[1] == y.shape[2] == 1:  # its normalisation leaves nothing of a number alone
            raise UserError("a UNet sees nothing of a map of 1x1: MLPDenoiser denoises it")
        halvings = 2 ** (len(self.multipliers) - 1)
        if y.shape[1] % halvings or y.shape[2] % halvings:
            raise UserError(
                f"{len(self.multipliers)} resolutions need sides divisible by {halvings}, not "
                f"{y.shape[1]}x{y.shape[2]}"
            )
        heights = [y.shape[1] // 2**level for level in range(len(self.multipliers))]
        if not set(self.attention) <= set(heights):
            raise UserError(
                f"attention={self.attention} names a height that no map has: they are of {heights}"
            )
        if any(abs(power) > MOST_FOURIER for power in self.fourier):
            raise UserError(f"fourier={self.fourier} goes beyond powers of {MOST_FOURIER}")
        if self.time_as not in TIME_AS:
            raise choose_from("time_as", self.time_as, TIME_AS)
        if self.published:
            embedded = sinusoidal(time / 1000, self.width, spacing="open")
        else:
            embedded = sinusoidal(time, self.width)
        time_width = self.time_width or self.width
        start = lambda fan_in: _start(self.published, fan_in)
        condition = nn.Dense(time_width, **start(self.width))(embedded)
        condition = nn.Dense(time_width, **start(time_width))(nn.silu(condition))
        condition = condition.astype(self.dtype)
        block_class = remat(TimeResBlock, static=(3,)) if self.remat else TimeResBlock
        common: dict[str, Any] = dict(groups=self.groups, epsilon=self.epsilon)
        common |= dict(published=self.published, dtype=self.dtype)
        names = (f"TimeResBlock_{index}" for index in itertools.count())  # with remat as without

        def block(h: Array, multiplier: int) -> Array:
            width = multiplier * self.width
            body = block_class(width, self.dropout, self.time_as, name=next(names), **common)
            return body(h, condition, train)

        def attended(h: Array) -> Array:
            return Attention(**common)(h) if h.shape[1] in self.attention else h

        def conv(h: Array, width: int) -> Array:
            return _conv3x3(width, self.dtype, start(9 * h.shape[-1]))(h)

        h = conv(fourier(y, self.fourier) if self.fourier else y, self.width)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            if level:
                h = conv(pool(h, h.shape[1] // 2), h.shape[-1])
                skips.append(h)
            for _ in range(self.depth):
                h = attended(block(h, multiplier))
                skips.append(h)
        h = block(h, multiplier)
        h = block(Attention(**common)(h), multiplier)
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.depth + 1):
                h = attended(block(jnp.concatenate([h, skips.pop()], axis=-1), multiplier))
            if level:
                h = conv(h.repeat(2, axis=1).repeat(2, axis=2), h.shape[-1])
        h = nn.silu(_norm(self.width, self.groups, self.epsilon, self.dtype)(h))
        out = _conv3x3(y.shape[-1], self.dtype, ZERO)(h)
        return out.astype(jnp.float32) + (y if self.add_input else 0.0)
