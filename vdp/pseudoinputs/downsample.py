"""The image made small by bilinear interpolation (Kuzina & Tomczak 2024)."""

import dataclasses

from jaxtyping import Float32

from vdp.pseudoinputs.base import Square, resize
from vdp.types import Array, Images, Params, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Downsample(Square):
    """The image in [-1, 1] at size x size as u; `back` makes it large again.

    Attributes:
      antialias: whether all pixels under one of u's are averaged, or only the nearest two each way,
        as in the published program.
    """

    antialias: bool = True

    def apply(self, params: Params, stats: Stats, images: Images) -> Float32[Array, "b s s c"]:
        """Codes u in [-1, 1], [B, size, size, C], of images [B, H, W, C] in [0, 1]."""
        return resize(2 * images - 1, self.shape(images.shape[1:]), self.antialias)


make = Downsample
