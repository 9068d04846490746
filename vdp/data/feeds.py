"""Training images for the jitted chunk: resident on every device, or streamed for each chunk.

Both give the same examples in the same order. The order is a pure function of (seed, step): epoch
e of N examples is a permutation drawn from fold_in(key(seed), e); step s takes positions
s*B .. s*B + B - 1 of the endless sequence of epochs. It knows nothing of devices and processes, so
that a run goes on in the middle of an epoch, on any number of them, with the examples it owes.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, Integer, UInt8

from vdp.data.core import Split
from vdp.runtime import parallel
from vdp.types import AnyArray, Array

DEVICE_LIMIT = 8 * 2**30  # bytes of images that "auto" still places on the device


@functools.partial(jax.jit, static_argnums=(1, 3))
def _epochs(
    key: Array, num_examples: int, first: Int32[Array, ""], num_epochs: int
) -> Int32[Array, "{num_epochs} {num_examples}"]:
    """Permutations of the epochs first .. first + num_epochs - 1: int32 [num_epochs, N]."""
    keys = jax.vmap(lambda epoch: jax.random.fold_in(key, epoch))(first + jnp.arange(num_epochs))
    return jax.vmap(lambda k: jax.random.permutation(k, num_examples))(keys).astype(jnp.int32)


class Orders:
    """The epochs' permutations, recomputed when a chunk enters a new epoch."""

    def __init__(self, seed: int, num_examples: int, batch_size: int):
        self.key = jax.random.fold_in(jax.random.key(seed), 0x0EDE)
        self.num_examples = num_examples
        self.batch_size = batch_size
        self._cache: dict[tuple[int, int], Array] = {}  # the last ones

    def covering(self, step: int, num_steps: int) -> tuple[int, Int32[Array, "e n"]]:
        """(first epoch, permutations) that cover `num_steps` steps from `step`."""
        span = num_steps * self.batch_size
        first = step * self.batch_size // self.num_examples
        num_epochs = 1 + -(-span // self.num_examples)
        key = first, num_epochs
        if key not in self._cache:
            orders = _epochs(self.key, self.num_examples, np.int32(first), num_epochs)
            self._cache = {key: orders}
        return first, self._cache[key]

    def indices(self, step: int, num_steps: int) -> Int32[np.ndarray, "{num_steps} b"]:
        """Indices of the examples of the next steps, on the host: [num_steps, B]."""
        first, orders = self.covering(step, num_steps)
        start = step * self.batch_size - first * self.num_examples
        flat = np.asarray(orders).reshape(-1)[start : start + num_steps * self.batch_size]
        return flat.reshape(num_steps, self.batch_size)


class Resident:
    """The whole split on every device as uint8; the chunk gathers from it."""

    def __init__(self, split: Split, orders: Orders, mesh: jax.sharding.Mesh):
        self.orders = orders
        self.place = parallel.placer(mesh)
        self.images, self.labels = self.place(split.images), self.place(split.labels)
        self._placed: tuple[Array, Array] | None = None  # the last orders, and where they are

    def feed(self, step: int, num_steps: int) -> dict[str, Array]:
        """What the chunk of `num_steps` steps from `step` needs."""
        first, orders = self.orders.covering(step, num_steps)
        if self._placed is None or self._placed[0] is not orders:
            self._placed = (orders, self.place(orders))
        start = step * self.orders.batch_size - first * self.orders.num_examples
        return {
            "images": self.images,
            "labels": self.labels,
            "orders": self._placed[1],
            "start": self.place(np.int32(start)),
        }


class Streamed:
    """The split stays on the host; each device is sent its examples of each chunk.

    A process reads the rows of its own devices and no others. It gathers them while the chunk
    before is computed.
    """

    def __init__(self, split: Split, orders: Orders, mesh: jax.sharding.Mesh):
        self.split = split
        self.orders = orders
        self.sharding = parallel.batches(mesh)

    def feed(self, step: int, num_steps: int) -> dict[str, Array]:
        """What the chunk of `num_steps` steps from `step` needs: leaves [K, B, ...]."""
        index = self.orders.indices(step, num_steps)

        def rows(array: AnyArray) -> Array:
            shape = (*index.shape, *array.shape[1:])
            local = lambda where: array[index[where[:2]]]
            return jax.make_array_from_callback(shape, self.sharding, local)

        return {"images": rows(self.split.images), "labels": rows(self.split.labels)}


def take(
    feed: dict[str, Array], offset: Integer[Array, ""] | int, batch_size: int
) -> tuple[UInt8[Array, "{batch_size} h w c"], Int32[Array, "{batch_size}"]]:
    """Images [B, H, W, C] and labels [B] of the chunk's step number `offset`; jitted code."""
    if "orders" not in feed:
        return feed["images"][offset], feed["labels"][offset]
    positions = feed["start"] + offset * batch_size + jnp.arange(batch_size)
    index = feed["orders"].reshape(-1)[positions]
    return feed["images"][index], feed["labels"][index]


def make(
    split: Split, *, seed: int, batch_size: int, placement: str, mesh: jax.sharding.Mesh
) -> Resident | Streamed:
    """Chooses where the training images lie.

    Args:
      split: the training images.
      seed: of the order of every epoch.
      batch_size: images of a step.
      placement: "device", "host" (streamed), or "auto": on the device where they are small.
      mesh: the devices.
    """
    orders = Orders(seed, len(split), batch_size)
    kind = Resident if is_resident(placement, split.images.nbytes) else Streamed
    return kind(split, orders, mesh)


def is_resident(placement: str, size: int) -> bool:
    """Whether training images of `size` bytes lie on the device."""
    return placement == "device" or (placement == "auto" and size <= DEVICE_LIMIT)


def shapes(
    num_examples: int,
    x_shape: tuple[int, int, int],
    *,
    batch_size: int,
    num_steps: int,
    placement: str,
    mesh: jax.sharding.Mesh,
) -> dict[str, jax.ShapeDtypeStruct]:
    """What `feed` gives a chunk in the middle of an epoch, as shapes and types alone.

    Args:
      num_examples: N of the training images.
      x_shape: (H, W, C).
      batch_size: images of a step.
      num_steps: of the chunk.
      placement: as of `make`.
      mesh: the devices.
    """
    resident = is_resident(placement, num_examples * math.prod(x_shape))
    sharding = parallel.replicated(mesh) if resident else parallel.batches(mesh)
    leading = (num_examples,) if resident else (num_steps, batch_size)
    arrays = {"images": ((*leading, *x_shape), jnp.uint8), "labels": (leading, jnp.int32)}
    if resident:
        epochs = 1 + -(-num_steps * batch_size // num_examples)
        arrays |= {"orders": ((epochs, num_examples), jnp.int32), "start": ((), jnp.int32)}
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        for name, (shape, dtype) in arrays.items()
    }
