"""The size of a hierarchy and how it is trained: what `published`, `default` and `light` are."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A size of the hierarchy and how it is trained.

    Attributes:
      scales: (height, latents, channels), finest first.
      width, hidden: channels of the features, and inside the bottlenecks.
      blocks: of the encoder, per scale.
      head_blocks: bottlenecks before the likelihood.
      output_from: what the likelihood sees, as of `vdp.nets.LadderDecoder`.
      patch: side of the squares of pixels that encoder and head see as one.
      code_size: side of the pseudo-input.
      denoiser: (width, depth, dropout) of the UNet over it.
      gamma: the range its noise starts with.
      num_steps: T of its sampler.
      batch_size, epochs: of training.
      rates: peak and final learning rate.
      warmup_epochs: of the learning rate.
      kl_warmup_epochs: of the rate's weight.
      clip_norm: of the gradient of bits per dimension.
    """

    scales: tuple[tuple[int, int, int], ...]
    width: int
    hidden: int
    blocks: int
    head_blocks: int = 0
    output_from: str = "aggregation"
    patch: int = 1
    code_size: int
    denoiser: tuple[int, int, float]
    gamma: tuple[float, float]
    num_steps: int
    batch_size: int
    epochs: int
    rates: tuple[float, float]
    warmup_epochs: float
    kl_warmup_epochs: float = 0.0
    clip_norm: float

    def replace(self, **fields: Any) -> "Shape":
        """The shape with other values of these fields."""
        return dataclasses.replace(self, **fields)

    def light(self) -> "Shape":
        """The default of 28x28 images: half the arithmetic and a faster start.

        2x2 patches, one encoder block per scale, most latents at 7x7, small batches, a short
        warm-up (docs/results.md).
        """
        return self.replace(
            scales=((14, 2, 2), (7, 6, 2)),
            blocks=1,
            patch=2,
            head_blocks=1,
            batch_size=100,
            warmup_epochs=0.1,
        )


MNIST_SHAPE = Shape(  # the published program's for MNIST (Kuzina & Tomczak 2024)
    scales=((14, 4, 1), (7, 4, 1)),
    width=32,
    hidden=32,
    blocks=3,
    code_size=7,
    denoiser=(16, 2, 0.0),
    gamma=(-6.0, 7.0),
    num_steps=25,
    batch_size=250,
    epochs=300,
    rates=(1e-2, 1e-5),
    warmup_epochs=2,
    clip_norm=5.0,
)
MNIST_DEPTHS = {8: (4, 4), 4: (2, 2), 12: (6, 6), 16: (8, 8)}  # latents at 14x14 and 7x7
