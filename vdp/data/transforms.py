"""From stored images to a Batch, inside the jitted step; and fixed batches for evaluation."""

import dataclasses
from collections.abc import Iterator
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, UInt8

from vdp import draws
from vdp.levels import to_unit
from vdp.settings import Data
from vdp.types import Array, Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transform:
    """Augments and binarises training images; everything random from one key."""

    stored_levels: int
    binarize: bool = False
    grey_input: bool = False
    flip: bool = False

    def __call__(
        self, images: UInt8[Array, "b h w c"], labels: Int32[Array, "b"], rng: Array
    ) -> Batch:
        """uint8 [B, H, W, C] to a Batch; fresh Bernoulli draws where binarised."""
        flip_rng, binarize_rng = jax.random.split(rng)
        if self.flip:
            flipped = jax.random.bernoulli(flip_rng, 0.5, (len(images), 1, 1, 1))
            images = jnp.where(flipped, images[:, :, ::-1], images)
        target = images
        if self.binarize:
            probabilities = to_unit(images, self.stored_levels)
            target = draws.bernoulli(binarize_rng, probabilities).astype(jnp.uint8)
        return Batch(target=target, input=images if self.grey_input else target, label=labels)


def make(data: Data, stored_levels: int) -> Transform:
    """The training transform of `settings.data`."""
    return Transform(
        stored_levels=stored_levels,
        binarize=data.binarization == "dynamic",
        grey_input=data.encoder_input == "grey",
        flip=data.augmentation == "flip",
    )


def batch_shapes(batch_size: int, x_shape: tuple[int, int, int]) -> Batch:
    """A training batch of shapes and types alone, for what is traced and not computed."""

    def zeros() -> Batch:
        images = jnp.zeros((batch_size, *x_shape), jnp.uint8)
        return Batch(target=images, input=images, label=jnp.zeros(batch_size, jnp.int32))

    return jax.eval_shape(zeros)


def padded_batches(
    target: UInt8[np.ndarray, "n h w c"],
    inputs: UInt8[np.ndarray, "n h w c"],
    labels: Int32[np.ndarray, "n"],
    batch_size: int,
) -> Iterator[tuple[Batch, int]]:
    """Yields (batch, number of real examples); the last batch repeats its first example.

    Args:
      target: what the likelihood scores, integer levels.
      inputs: what the encoder sees, integer levels.
      labels: -1 where there are none.
      batch_size: B of every batch.
    """
    for start in range(0, len(target), batch_size):
        index = np.arange(start, start + batch_size)
        index = np.where(index < len(target), index, start)
        # still on the host: the program that is called with them puts them on the devices
        rows = lambda array, index=index: cast(Array, array[index])
        batch = Batch(target=rows(target), input=rows(inputs), label=rows(labels))
        yield batch, min(batch_size, len(target) - start)
