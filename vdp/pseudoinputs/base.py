"""What pseudo-inputs share: the shape of u, and the way back by bilinear interpolation."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.errors import UserError
from vdp.settings.rules import Size
from vdp.types import AnyArray, Array, Images, Key, Levels, Params, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square:
    """Base of codes u [B, size, size, C]; `vdp.pseudoinputs` says what the arguments are.

    Attributes:
      size: height and width of u, at most those of the image.
    """

    size: Size = 7

    def shape(self, x_shape: Shape) -> tuple[int, int, int]:
        """The shape (size, size, C) of one u, for images of shape (H, W, C).

        Raises:
          UserError: the size is not between 1 and the image's shorter side.
        """
        height, width, channels = x_shape
        if not 1 <= self.size <= min(height, width):
            raise UserError(
                f"the size of a pseudo-input must be between 1 and {min(height, width)} for images "
                f"of {height} x {width}, not {self.size}"
            )
        return self.size, self.size, channels

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """No parameters and no stats.

        Raises:
          UserError: as of `shape`.
        """
        self.shape(x_shape)
        return {}, {}

    def back(
        self, params: Params, stats: Stats, u: Float[AnyArray, "b s s c"], x_shape: Shape
    ) -> Float32[Array, "b h w c"]:
        """Resizes u bilinearly to [B, H, W, C], values as they are."""
        return resize(u, x_shape)

    def clipped(self, params: Params, stats: Stats, images: Images) -> Float32[Array, "b"]:
        """Nothing clips: zeros, [B]."""
        return jnp.zeros(len(images), jnp.float32)


def resize(
    images: Float[AnyArray, "b _ _ c"], shape: Shape, antialias: bool = True
) -> Float32[Array, "b h w c"]:
    """Images [B, ...] at `shape` (H, W, C) by bilinear interpolation between pixel centres.

    Upwards it is torch's `interpolate(mode="bilinear", align_corners=False)`, downwards too without
    `antialias`; with it the triangle is as wide as the step between the pixels of the result.
    """
    images = jnp.asarray(images, jnp.float32)
    return jax.image.resize(images, (len(images), *shape), "bilinear", antialias=antialias)
