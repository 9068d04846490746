"""Fully connected bodies."""

import math
from typing import Annotated, Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.nets.embed import sinusoidal
from vdp.nets.made import MADE
from vdp.settings.rules import AtLeast, Depth, Dtype, Share, Size
from vdp.types import AnyArray, Array, Shape

Embedding = Annotated[int, AtLeast(2, most=2**20)]  # half of it are frequencies of the time


class ResidualBlock(nn.Module):
    """Adds W2 act(W1 act(norm(x)) + shift(condition)) to x; W2, so the change, starts at zero."""

    width: int
    dropout: Share = 0.0
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b w"],
        condition: Float[Array, "b c"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b w"]:
        """Maps [B, width] to [B, width], under a condition [B, any] where there is one."""
        h = nn.silu(nn.LayerNorm(dtype=self.dtype)(x))
        h = nn.Dense(self.width, dtype=self.dtype)(h)
        if condition is not None:
            h = h + nn.Dense(self.width, dtype=self.dtype)(condition)
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(h))
        return x + nn.Dense(self.width, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)


class MLP(nn.Module):
    """A residual MLP between any two shapes, encoder or decoder.

    Attributes:
      width: of the hidden layers.
      depth: residual blocks of two layers each.
      dropout: share of a block's hidden units that is left out in training.
      zero_output: whether the last layer starts at zero: an encoder's q(z|x) is N(0, I) then.
      dtype: of the arithmetic.
    """

    width: Size = 256
    depth: Depth = 2
    dropout: Share = 0.0
    zero_output: bool = True
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b *x"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b *out"]:
        """Maps [B, ...] to float32 [B, *out_shape]."""
        h = nn.Dense(self.width, dtype=self.dtype)(x.reshape(x.shape[0], -1))
        for _ in range(self.depth):
            h = ResidualBlock(self.width, self.dropout, self.dtype)(h, train=train)
        h = nn.silu(nn.LayerNorm(dtype=self.dtype)(h))
        init = nn.initializers.zeros if self.zero_output else nn.linear.default_kernel_init
        h = nn.Dense(math.prod(out_shape), dtype=self.dtype, kernel_init=init)(h)
        return h.astype(jnp.float32).reshape(x.shape[0], *out_shape)


class FeedForward(nn.Module):
    """Dense layers with ReLU between any two shapes, encoder or decoder; no norm, no shortcuts.

    Attributes:
      widths: of the hidden layers.
      dtype: of the arithmetic.
    """

    widths: tuple[Size, ...] = (512, 256)
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b *x"], out_shape: Shape, *, train: bool = False
    ) -> Float32[Array, "b *out"]:
        """Maps [B, ...] to float32 [B, *out_shape]."""
        h = x.reshape(x.shape[0], -1)
        for width in self.widths:
            h = nn.relu(nn.Dense(width, dtype=self.dtype)(h))
        h = nn.Dense(math.prod(out_shape), dtype=self.dtype)(h)
        return h.astype(jnp.float32).reshape(x.shape[0], *out_shape)


def features_at(
    net: "MLPDenoiser | ConditionalMADE",
    y: Float[Array, "b *y"],
    time: Float[Array, "b"],
    *,
    train: bool,
) -> Float[Array, "b w"]:
    """Features [B, width] of y and time, by residual blocks that are layers of `net`.

    Args:
      net: that is being called; its fields are the sizes.
      y: [B, ...].
      time: [B], in [0, 1000].
      train: whether dropout is on.
    """
    condition = nn.silu(nn.Dense(net.width)(sinusoidal(time, net.embedding)))
    condition = condition.astype(net.dtype)
    h = nn.Dense(net.width, dtype=net.dtype)(y.reshape(y.shape[0], -1))
    for _ in range(net.depth):
        h = ResidualBlock(net.width, net.dropout, net.dtype)(h, condition, train=train)
    return nn.silu(nn.LayerNorm(dtype=net.dtype)(h))


class MLPDenoiser(nn.Module):
    """A residual MLP conditioned on time, for vector latents; its output starts at zero.

    Attributes:
      width: of the hidden layers.
      depth: residual blocks of two layers each.
      embedding: numbers that the time becomes.
      dropout: share of a block's hidden units that is left out in training.
      dtype: of the arithmetic.
    """

    width: Size = 256
    depth: Depth = 3
    embedding: Embedding = 64
    dropout: Share = 0.0
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, y: Float[Array, "b *y"], time: Float[Array, "b"], *, train: bool = False
    ) -> Float32[Array, "b *y"]:
        """Maps y [B, ...] at times [B] in [0, 1000] to float32 of y's shape."""
        h = features_at(self, y, time, train=train)
        out = nn.Dense(y[0].size, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return out.astype(jnp.float32).reshape(y.shape)


class ConditionalMADE(nn.Module):
    """A MADE whose outputs also see all of another array and a time; they start at zero.

    The outputs for entry i depend on e[:, :i] through a MADE, and on y and time through features
    of a network without masks. If y were an input of the MADE, only its units of the lowest degree
    could carry y to the first output.

    Attributes:
      width: of both networks.
      depth: residual blocks of the one without masks, and hidden layers of the MADE.
      embedding: numbers that the time becomes.
      dropout: share of a block's hidden units that is left out in training.
      dtype: of the arithmetic.
    """

    width: Size = 256
    depth: Depth = 2
    embedding: Embedding = 64
    dropout: Share = 0.0
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self,
        e: Float[Array, "b d"],
        y: Float[Array, "b d"],
        time: Float[Array, "b"],
        *,
        train: bool = False,
    ) -> tuple[Float32[Array, "b d"], Float32[Array, "b d"]]:
        """Maps e, y [B, D] at times [B] in [0, 1000] to (mean, log_scale), float32 [B, D]."""
        context = features_at(self, y, time, train=train)
        made = MADE(self.width, self.depth, self.dtype)
        moments: Any = made(e, context=context)
        return moments
