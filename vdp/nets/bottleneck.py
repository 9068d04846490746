"""The residual block of the hierarchical models, stacks of it, and changes of resolution."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vdp.errors import choose_from
from vdp.nets.remat import keep
from vdp.nets.same_conv import SameConv
from vdp.runtime import backend
from vdp.settings.rules import Dtype
from vdp.types import Array

BLOCKS_BY = ("auto", "scan", "loop")


def pool(x: Float[Array, "b h w c"], height: int) -> Float[Array, "b _ _ c"]:
    """Averages [B, H, W, C] over squares of H/height pixels."""
    factor = x.shape[1] // height
    if factor == 1:
        return x
    batch, rows, columns, channels = x.shape
    x = x.reshape(batch, rows // factor, factor, columns // factor, factor, channels)
    return x.mean((2, 4))


def space_to_depth(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b _ _ _"]:
    """Joins every square of pixels in one: [B, H, W, C] to [B, H/factor, W/factor, factor^2 C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(*x.shape[:2], width // factor, -1)


def upsample(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b _ _ c"]:
    """Interpolates maps bilinearly, [B, H, W, C] to [B, *size, C]."""
    if x.shape[1:3] == size:
        return x
    highest = jax.lax.Precision.HIGHEST
    rows, columns = (
        _weights(old, new, x.dtype) for old, new in zip(x.shape[1:3], size, strict=True)
    )
    return jnp.einsum("bhwc,hi,wj->bijc", x, rows, columns, precision=highest)


@functools.lru_cache  # a model asks for a few of them in every trace
def _weights(old: int, new: int, dtype: Any) -> Float[np.ndarray, "{old} {new}"]:
    """Of bilinear interpolation; constants of the program, which need not be computed in a step."""
    with jax.ensure_compile_time_eval():
        return np.asarray(jax.image.resize(jnp.eye(old, dtype=dtype), (old, new), "bilinear"))


class Bottleneck(nn.Module):
    """1x1, 3x3, 3x3 and 1x1 convolutions beside an identity or 1x1 skip.

    Attributes:
      features: of the output.
      hidden: channels between the 1x1 convolutions.
      preactivate: SiLU before every convolution (encoder), or before all but the first.
      zero: "none", "last" (the last convolution starts at zero) or "all" (the skip too, where it
        is a convolution: the output then starts at zero).
      scale: of the last convolution's start.
      dtype: of the arithmetic.
    """

    features: int
    hidden: int
    preactivate: bool = False
    zero: str = "none"
    scale: float = 1.0
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
        """Maps [B, H, W, any] to [B, H, W, features]."""
        h = nn.silu(x) if self.preactivate else x
        h = keep(SameConv(self.hidden, 1, dtype=self.dtype, name="conv_0")(h))
        h = keep(SameConv(self.hidden, 3, dtype=self.dtype, name="conv_1")(nn.silu(h)))
        h = keep(SameConv(self.hidden, 3, dtype=self.dtype, name="conv_2")(nn.silu(h)))
        last = SameConv(
            self.features, 1, self.zero != "none", self.scale, dtype=self.dtype, name="conv_3"
        )
        if x.shape[-1] != self.features:
            x = SameConv(self.features, 1, self.zero == "all", dtype=self.dtype, name="skip")(x)
        return x + last(nn.silu(h))


def stacked(body: Callable, num: int, blocks_by: str, train: bool) -> Callable:
    """Runs one body over `num` equal blocks whose parameters are stacked on a leading axis.

    Args:
      body: (block, carry, xs) -> (carry, ys) of one block; xs and ys have a leading axis of `num`.
      num: of blocks.
      blocks_by: "scan", "loop" or "auto", a scan but in training on CPU or GPU.
      train: whether gradients will be taken.

    Returns:
      (block, carry, xs) -> (carry, ys) of all blocks, one after the other.

    Raises:
      UserError: another `blocks_by`.
    """
    if blocks_by not in BLOCKS_BY:
        raise choose_from("blocks_by", blocks_by, BLOCKS_BY)
    # On CPU gradients of convolutions inside a scan are slow; on a GPU every trip launches kernels
    # that only store and fetch what the backward pass needs.
    slow = train and not backend.on_tpu()
    rolled = blocks_by == "scan" or (blocks_by == "auto" and not slow)
    return nn.scan(
        body,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=num,
        unroll=1 if rolled else num,  # all at once is a loop over slices: no `while` is left
    )
