"""The DCGAN encoder and decoder (Radford et al. 2016) as VAEs use them, for images of any size."""

import math
from typing import Annotated, Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.nets.conv import TransposedConv
from vdp.settings.rules import Dtype, OneOf, Size, Sizes
from vdp.types import AnyArray, Array, Shape

SLOPE = 0.2
BATCH_NORM: dict[str, Any] = dict(momentum=0.9, epsilon=1e-5)


class DCGANEncoder(nn.Module):
    """4x4 convolutions of stride 2 with LeakyReLU, BatchNorm after all but the first; then dense.

    Attributes:
      channels: of the convolutions.
      zero_output: whether the last layer starts at zero: q(z|x) is N(0, I) then.
      dtype: of the arithmetic.
    """

    channels: tuple[Size, ...] = (64, 128, 256)
    zero_output: bool = True
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w c"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b *out"]:
        """Maps images [B, H, W, C] to float32 [B, *out_shape]."""
        h = x
        for index, width in enumerate(self.channels):
            h = nn.Conv(
                width, (4, 4), (2, 2), padding="SAME", use_bias=index == 0, dtype=self.dtype
            )(h)
            if index:
                h = nn.BatchNorm(not train, dtype=self.dtype, **BATCH_NORM)(h)
            h = nn.leaky_relu(h, SLOPE)
        init = nn.initializers.zeros if self.zero_output else nn.linear.default_kernel_init
        h = nn.Dense(math.prod(out_shape), dtype=self.dtype, kernel_init=init)(
            h.reshape(h.shape[0], -1)
        )
        return h.astype(jnp.float32).reshape(x.shape[0], *out_shape)


class DCGANDecoder(nn.Module):
    """Dense to the smallest map, then 4x4 transposed convolutions of stride 2, BatchNorm and ReLU.

    The first map is ceil(size / 2^n) for n entries of `channels`; what is grown beyond the wanted
    size is cropped.

    Attributes:
      channels: of the maps that the convolutions see, the smallest first.
      output: "tanh", which keeps every feature in (-1, 1), or "linear". A tanh is for the locations
        of a Gaussian: a discretised likelihood has open bins at the edges, which have nearly all of
        the mass only where locations go beyond -1 and 1, and a log-scale has no such bounds.
      dtype: of the arithmetic.
    """

    channels: Sizes = (256, 128, 64)
    output: Annotated[str, OneOf("tanh", "linear")] = "tanh"
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, z: Float[AnyArray, "b *z"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b h w c"]:
        """Maps codes [B, ...] to float32 [B, H, W, C] = [B, *out_shape]."""
        height, width, features = out_shape
        factor = 2 ** len(self.channels)
        start = (math.ceil(height / factor), math.ceil(width / factor), self.channels[0])
        h = nn.Dense(math.prod(start), use_bias=False, dtype=self.dtype)(z.reshape(len(z), -1))
        h = h.reshape(len(z), *start)
        for index, finer in enumerate((*self.channels[1:], features), 1):
            h = nn.relu(nn.BatchNorm(not train, dtype=self.dtype, **BATCH_NORM)(h))
            last = index == len(self.channels)
            h = TransposedConv(finer, use_bias=last, dtype=self.dtype)(h)
        h = h[:, :height, :width].astype(jnp.float32)
        return jnp.tanh(h) if self.output == "tanh" else h
