"""The gradient of a batch as the mean over its microbatches, which take memory in turn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vdp.types import Array, Batch, Noise, Params, Stats

Step = Callable[[Stats, Batch, Array, Noise], tuple[dict[str, Array], Stats, Params]]


def split(tree: Any, count: int) -> Any:
    """Leaves [B, ...] as [count, B / count, ...]; example i is in microbatch i modulo count.

    Interleaved, so that the examples that lie on one device stay there in every microbatch.
    """

    def of(leaf: Array) -> Array:
        return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(of, tree)


def accumulated(
    gradient_of: Step,
    stats: Stats,
    batch: Batch,
    rng: Array,
    noise: Noise,
    *,
    count: int,
    rolled: bool,
    constrain: Callable = lambda tree: tree,
) -> tuple[dict[str, Array], Stats, Params]:
    """The mean gradient of a batch's parts: that of the batch where images do not see each other.

    Noise is drawn for the whole batch and split with it, so that the numbers are those of one large
    batch up to the rounding of their sums. Batch normalisation takes the moments of each microbatch
    and updates its running ones by each in turn; dropout has other masks.

    Args:
      gradient_of: (stats, batch, rng, noise) -> (scalar metrics, new stats, gradient).
      stats: before the step.
      batch: of B images.
      rng: a key, for dropout and the like.
      noise: of `model.draw` for the batch, leaves [B, ...].
      count: of the microbatches; divides B.
      rolled: by a loop of the program, which holds the temporaries of one microbatch; else one copy
        of the step for each, because CPUs are slow at convolutions inside of loops.
      constrain: splits batch and noise over the devices.

    Returns:
      (scalar metrics, stats after the last microbatch, gradient), means over the microbatches.
    """
    if count == 1:
        return gradient_of(stats, batch, rng, noise)

    def add(carry: tuple[Stats, Any], part: Any) -> tuple[tuple[Stats, Any], None]:
        (stats, total), (number, examples) = carry, part
        batch, noise = constrain(examples)  # the loop's axis is none of the devices
        key = jax.random.fold_in(rng, number)
        metrics, stats, gradients = gradient_of(stats, batch, key, noise)
        return (stats, jax.tree.map(jnp.add, total, (metrics, gradients))), None

    parts = (jnp.arange(count), split((batch, noise), count))
    shapes = jax.eval_shape(gradient_of, stats, batch, rng, noise)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (shapes[0], shapes[2]))
    (stats, total), _ = jax.lax.scan(add, (stats, zeros), parts, unroll=1 if rolled else count)
    metrics, gradients = jax.tree.map(lambda leaf: leaf / count, total)
    return metrics, stats, gradients
