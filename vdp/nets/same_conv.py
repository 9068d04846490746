"""Convolutions of stride 1 and "same" padding, with a weight gradient that is fast on CPU too.

On CPU the weight gradient of XLA reaches a fifth of the speed of the convolution itself
(benchmarks/convolutions.py). There the derivative by the kernel is written as matrix products:
their transpose, which reverse mode makes of them, is the gradient, and forward mode runs them as
they stand. No gradient is written by hand, so that every transformation of jax applies.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float

from vdp.settings.rules import Dtype
from vdp.types import Array, Shape

CACHED = 2**17  # numbers of x that one chunk's products work on
Maps = Float[Array, "b h w c"]
Kernel = Float[Array, "3 3 c d"]


def _convolution(
    x: Maps, kernel: Float[Array, "3 3 _ _"], layout: str = "HWIO"
) -> Float[Array, "b h w _"]:
    layouts = ("NHWC", layout, "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layouts)


def _by_products(x: Maps, kernel: Kernel) -> Float[Array, "b h w d"]:
    """The convolution as `_products`, a few images at a time, so that all copies stay in cache."""
    fitting = max(CACHED // x[0].size, 1)
    chunk = max(size for size in range(1, min(fitting, len(x)) + 1) if len(x) % size == 0)
    if chunk == len(x) or 4 * chunk < fitting:
        return _products(x, kernel)
    parts = x.reshape(-1, chunk, *x.shape[1:])
    one = lambda _, part: (None, _products(part, kernel))
    # from the last to the first: the transpose then adds the gradients up from the first
    return lax.scan(one, None, parts, reverse=True)[1].reshape(*x.shape[:3], kernel.shape[3])


@functools.partial(jax.checkpoint, prevent_cse=False)  # copies of x are made anew, never kept
def _products(x: Maps, kernel: Kernel) -> Float[Array, "b h w d"]:
    """Three matrix products, one per row of the kernel: [B H W, 3 C] times [3 C, D]."""
    height, width, inputs, outputs = *x.shape[1:], kernel.shape[3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate([x[:, :, i : i + width] for i in range(3)], axis=-1)
    rows = [
        windows[:, row : row + height].reshape(-1, 3 * inputs) @ kernel[row].reshape(-1, outputs)
        for row in range(3)
    ]
    return sum(rows[1:], rows[0]).reshape(len(x), height, width, outputs)


@jax.custom_jvp
def conv3x3(x: Maps, kernel: Kernel) -> Float[Array, "b h w d"]:
    """Convolves [B, H, W, C] with [3, 3, C, D] to [B, H, W, D]; XLA's but for one derivative."""
    return _convolution(x, kernel)


@functools.partial(conv3x3.defjvp, symbolic_zeros=True)
def _derivative(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Array, Array]:
    (x, kernel), (x_dot, kernel_dot) = primals, tangents
    terms = []
    if not isinstance(x_dot, SymbolicZero):
        # the transpose then has its kernel as HWIO: with another, CPU is slow inside a scan
        terms.append(_convolution(x_dot, kernel.swapaxes(2, 3), "HWOI"))
    if not isinstance(kernel_dot, SymbolicZero):
        branches = dict(cpu=_by_products, default=_convolution)
        terms.append(lax.platform_dependent(x, kernel_dot, **branches))
    return conv3x3(x, kernel), sum(terms[1:], terms[0])


def for_linen(x: Maps, kernel: Kernel, *_: Any, **__: Any) -> Float[Array, "b h w d"]:
    """`conv3x3` as the `conv_general_dilated` of an nn.Conv of side 3 without strides."""
    return conv3x3(x, kernel)


class SameConv(nn.Module):
    """A biased convolution; kernel and bias start in U(+-1/sqrt(fan_in)), or at zero.

    Attributes:
      features: channels of the output.
      side: 1 (a matrix product) or 3.
      zero: whether kernel and bias start at zero.
      scale: factor on the kernel's start, not on the bias's.
      dtype: of the arithmetic.
    """

    features: int
    side: int = 1
    zero: bool = False
    scale: float = 1.0
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "b h w {self.features}"]:
        """Maps [B, H, W, C] to [B, H, W, features]."""
        inputs = x.shape[-1]
        limit = 0.0 if self.zero else (inputs * self.side**2) ** -0.5
        shape = (self.side, self.side, inputs, self.features)
        kernel = self._parameter("kernel", shape, limit * self.scale)
        bias = self._parameter("bias", (self.features,), limit)
        x = x.astype(self.dtype)
        out = x @ kernel[0, 0] if self.side == 1 else conv3x3(x, kernel)
        return out + bias[None, None, None]

    def _parameter(self, name: str, shape: Shape, bound: float) -> Array:
        """The parameter, or its start in U(+-bound)."""
        # nn.Module.param traces the start again wherever there is a value already, to compare
        # shapes: a tenth of the time in which a hierarchy is traced
        if self.has_variable("params", name):
            return self.get_variable("params", name).astype(self.dtype)
        start = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
        return self.param(name, start, shape).astype(self.dtype)
