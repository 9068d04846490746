"""The lowest frequencies of an image's discrete cosine transform (Kuzina & Tomczak 2024)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from vdp.levels import to_unit
from vdp.pseudoinputs.base import Square
from vdp.types import AnyArray, Array, Images, Key, Levels, Params, Shape, Stats

CHUNK = 1024  # images transformed at once while the scale is computed
ROUNDING = 3e-7  # of float32, in units of the largest coefficient there can be: sqrt(H W)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DCT(Square):
    """Frequencies u_ijc = clip(d_ijc / S_ijc, -1, 1) of the image, i, j < size.

    d_ijc = sum_hw A_ih B_jw x_hwc with x the image in [0, 1] and A, B the orthonormal DCT-II of its
    height and width; S is the largest |d| of the training set (the published program takes it of
    floor(d)).

    Attributes:
      input_levels: levels of the images the encoder sees; given by the data.
    """

    input_levels: int

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """No parameters; {"scale": S [size, size, C]}, ones without data.

        S is 1 where no image of `data` (levels, [N, H, W, C]) has a coefficient beyond rounding.
        """
        shape = self.shape(x_shape)
        if data is None:
            return {}, {"scale": jnp.ones(shape)}
        data = jnp.asarray(data)
        chunk = min(CHUNK, len(data))

        def largest(index: Array | int, maximum: Array) -> Float32[Array, "s s c"]:
            # the last slice is moved back into the data: a maximum may see an image twice
            levels = jax.lax.dynamic_slice_in_dim(data, index * chunk, chunk)
            coefficients = self._coefficients(to_unit(levels, self.input_levels))
            return jnp.maximum(maximum, jnp.abs(coefficients).max(0))

        maximum = jax.lax.fori_loop(0, -(-len(data) // chunk), largest, jnp.zeros(shape))
        return {}, {"scale": jnp.where(maximum > _rounding(x_shape), maximum, 1.0)}

    def apply(self, params: Params, stats: Stats, images: Images) -> Float32[Array, "b s s c"]:
        """Codes u in [-1, 1], [B, size, size, C], of images [B, H, W, C] in [0, 1]."""
        return jnp.clip(self._coefficients(images) / stats["scale"][None], -1, 1)

    def back(
        self, params: Params, stats: Stats, u: Float[AnyArray, "b s s c"], x_shape: Shape
    ) -> Float32[Array, "b h w c"]:
        """The image of these frequencies alone, clamped to [-1, 1], [B, H, W, C]."""
        images = _transform("ih,jw,bijc->bhwc", self._bases(x_shape), u * stats["scale"][None])
        return 2 * jnp.clip(images, 0, 1) - 1

    def clipped(self, params: Params, stats: Stats, images: Images) -> Float32[Array, "b"]:
        """Share of coefficients beyond the scale by more than rounding, [B]."""
        limit = stats["scale"][None] + _rounding(images.shape[1:])
        beyond = jnp.abs(self._coefficients(images)) > limit
        return beyond.astype(jnp.float32).mean((1, 2, 3))

    def _coefficients(self, images: Images) -> Float32[Array, "b s s c"]:
        """The d of images in [0, 1]."""
        return _transform("ih,jw,bhwc->bijc", self._bases(images.shape[1:]), images)

    def _bases(self, x_shape: Shape) -> list[Float32[np.ndarray, "k n"]]:
        """A [size, H] and B [size, W]."""
        self.shape(x_shape)
        return [_basis(length)[: self.size] for length in x_shape[:2]]


def _basis(length: int) -> Float32[np.ndarray, "{length} {length}"]:
    """The orthonormal DCT-II [k, n]: sqrt(2 / L) cos(pi k (n + 1/2) / L), row 0 by 1/sqrt(2)."""
    k, n = np.arange(length)[:, None], np.arange(length)
    basis = np.sqrt(2 / length) * np.cos(np.pi * k * (n + 0.5) / length)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _rounding(x_shape: Shape) -> float:
    return ROUNDING * (x_shape[0] * x_shape[1]) ** 0.5


def _transform(
    equation: str, bases: list[np.ndarray], values: Float[AnyArray, "b _ _ c"]
) -> Float32[Array, "b _ _ c"]:
    """The einsum of two bases and values, in float32 at full precision."""
    values = jnp.asarray(values, jnp.float32)
    return jnp.einsum(equation, *bases, values, precision=jax.lax.Precision.HIGHEST)


make = DCT
