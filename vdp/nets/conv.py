"""A small convolutional encoder and decoder for images of any size."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.settings.rules import Dtype, Size, Sizes
from vdp.types import AnyArray, Array, Shape


class ConvEncoder(nn.Module):
    """A 4x4 convolution of stride 2 per entry of `channels`, then a dense layer and the output.

    Attributes:
      channels: of the convolutions.
      hidden: units of the dense layer.
      zero_output: whether the last layer starts at zero: q(z|x) is N(0, I) then.
      dtype: of the arithmetic.
    """

    channels: tuple[Size, ...] = (32, 64)
    hidden: Size = 256
    zero_output: bool = True
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w c"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b *out"]:
        """Maps images [B, H, W, C] to float32 [B, *out_shape]."""
        h = x
        for width in self.channels:
            h = nn.silu(nn.Conv(width, (4, 4), (2, 2), padding="SAME", dtype=self.dtype)(h))
        h = nn.silu(nn.Dense(self.hidden, dtype=self.dtype)(h.reshape(h.shape[0], -1)))
        init = nn.initializers.zeros if self.zero_output else nn.linear.default_kernel_init
        h = nn.Dense(math.prod(out_shape), dtype=self.dtype, kernel_init=init)(h)
        return h.astype(jnp.float32).reshape(x.shape[0], *out_shape)


def depth_to_space(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b _ _ _"]:
    """Spreads each pixel's channels over a square: [B, H, W, f^2 C] to [B, f H, f W, C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, factor, factor, channels // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, factor * height, factor * width, -1)


class TransposedConv(nn.Module):
    """A 4x4 transposed convolution of stride 2: [B, H, W, C] to [B, 2H, 2W, features].

    Written as one matrix product from each 2x2 inputs to the 2x2 outputs between them: the same
    map, with a gradient many times faster on CPU (benchmarks/upsampling.py).
    """

    features: int
    use_bias: bool = True
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w {self.features}"]:
        """Doubles height and width: [B, H, W, C] to [B, 2H, 2W, features]."""
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = x.shape[1] + 1, x.shape[2] + 1
        corners = [padded[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)]
        product = nn.Dense(4 * self.features, use_bias=False, dtype=self.dtype)
        doubled = depth_to_space(product(jnp.concatenate(corners, axis=-1)))[:, 1:-1, 1:-1]
        if not self.use_bias:
            return doubled
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return doubled + bias[None, None, None]


class ConvDecoder(nn.Module):
    """Dense layers to a small map, then per channel entry two 3x3 convolutions and a doubling.

    Doubling is sub-pixel (Shi et al. 2016), not a strided transposed convolution, whose gradient
    is several times slower on CPU (benchmarks/upsampling.py). The first map is ceil(size / 2^n);
    what is grown beyond the wanted size is cropped.

    Attributes:
      channels: of the doublings.
      hidden: units of the first dense layer.
      dtype: of the arithmetic.
    """

    channels: Sizes = (64, 32)
    hidden: Size = 256
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, z: Float[AnyArray, "b *z"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b h w c"]:
        """Maps codes [B, ...] to float32 [B, H, W, C] = [B, *out_shape]."""
        height, width, features = out_shape
        factor = 2 ** len(self.channels)
        start = (math.ceil(height / factor), math.ceil(width / factor), self.channels[0])
        h = nn.silu(nn.Dense(self.hidden, dtype=self.dtype)(z.reshape(z.shape[0], -1)))
        h = nn.Dense(math.prod(start), dtype=self.dtype)(h).reshape(z.shape[0], *start)
        for channels, finer in zip(self.channels, (*self.channels[1:], features), strict=True):
            h = nn.silu(nn.Conv(channels, (3, 3), padding="SAME", dtype=self.dtype)(nn.silu(h)))
            h = depth_to_space(nn.Conv(4 * finer, (3, 3), padding="SAME", dtype=self.dtype)(h))
        return h[:, :height, :width].astype(jnp.float32)
