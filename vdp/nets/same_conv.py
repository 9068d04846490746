"""Convolutions of stride 1 and "same" padding, with a weight gradient that is fast on CPU too."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vdp.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
CACHED = 2**18  # numbers of x that one chunk's products work on


def _convolution(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def _gradient_by_convolution(x: Array, g: Array) -> Array:
    kernel = jnp.zeros((3, 3, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.vjp(lambda k: _convolution(x, k), kernel)[1](g)[0]


def _gradient_by_products(x: Array, g: Array) -> Array:
    """The same from matrix products, a few images at a time, so that all copies stay in cache."""
    fitting = max(CACHED // x[0].size, 1)
    chunk = max(size for size in range(1, min(fitting, len(x)) + 1) if len(x) % size == 0)
    if chunk == len(x) or 4 * chunk < fitting:
        return _products(x, g)
    parts = [a.reshape(-1, chunk, *a.shape[1:]) for a in (x, g)]
    start = jnp.zeros((3, 3, x.shape[-1], g.shape[-1]), x.dtype)
    return lax.scan(lambda total, part: (total + _products(*part), None), start, parts)[0]


def _products(x: Array, g: Array) -> Array:
    """Three matrix products, one per row of the kernel.

    Two neighbouring outputs see four inputs, so X [M, 4C]^T G [M, 2D] holds every product that the
    row needs twice, for a third more arithmetic in matrices four and two times as wide.
    """
    height, width, inputs, outputs = *x.shape[1:], g.shape[-1]
    odd = width % 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1 + odd), (0, 0)))
    g = jnp.pad(g, ((0, 0), (0, 0), (0, odd), (0, 0))) if odd else g
    pairs = x.reshape(len(x), height + 2, -1, 2 * inputs)
    windows = jnp.concatenate([pairs[:, :, :-1], pairs[:, :, 1:]], axis=-1)
    g = g.reshape(-1, 2 * outputs)
    rows = []
    for row in range(3):
        seen = windows[:, row : row + height].reshape(-1, 4 * inputs)
        product = (seen.T @ g).reshape(4, inputs, 2, outputs)
        rows.append(product[:3, :, 0] + product[1:, :, 1])
    return jnp.stack(rows)


@jax.custom_vjp
def conv3x3(x: Array, kernel: Array) -> Array:
    """[B, H, W, C] with kernel [3, 3, C, D] to [B, H, W, D]; XLA's own, but for one gradient.

    On CPU the weight gradient of XLA reaches a fifth of the speed of the convolution itself
    (benchmarks/convolutions.py).
    """
    return _convolution(x, kernel)


def _forward(x, kernel):
    return _convolution(x, kernel), (x, kernel)


def _backward(saved, g):
    x, kernel = saved
    by_input = _convolution(g, kernel[::-1, ::-1].swapaxes(2, 3))
    by_kernel = lax.platform_dependent(
        x, g, cpu=_gradient_by_products, default=_gradient_by_convolution
    )
    return by_input, by_kernel


conv3x3.defvjp(_forward, _backward)


def for_linen(x: Array, kernel: Array, *_, **__) -> Array:
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
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] to [B, H, W, features]."""
        inputs = x.shape[-1]
        limit = 0.0 if self.zero else (inputs * self.side**2) ** -0.5

        def uniform(rng, shape, bound):
            return jax.random.uniform(rng, shape, minval=-bound, maxval=bound)

        shape = (self.side, self.side, inputs, self.features)
        kernel = self.param("kernel", uniform, shape, limit * self.scale).astype(self.dtype)
        bias = self.param("bias", uniform, (self.features,), limit).astype(self.dtype)
        x = x.astype(self.dtype)
        return (x @ kernel[0, 0] if self.side == 1 else conv3x3(x, kernel)) + bias
