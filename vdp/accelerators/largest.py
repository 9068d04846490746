"""The largest batch that a chip's memory holds, from few compilations.

Memory is nearly affine in the batch: two compilations predict the largest, and a third verifies it.
Where it does not fit, the secant through the two nearest batches predicts again.
"""

import dataclasses
import math
from collections.abc import Callable

COMPILATIONS = 7
CLOSE = 0.97  # share of the memory at which the search ends
AIMED = 0.985  # share that a prediction aims at, so that it mostly fits
MOST = 2**20  # images: the limit of train.batch_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Largest:
    """What the search has found.

    Attributes:
      batch_size: the largest that is known to fit; 0 where none was found.
      memory: bytes of a device that it takes.
      refused: the smallest that is known not to fit; None where none was tried.
      tried: {batch size: bytes of a device, or None where the compiler did not say}, in order.
    """

    batch_size: int
    memory: float
    refused: int | None
    tried: dict[int, float | None]


def largest(
    memory: Callable[[int], tuple[float | None, bool]], *, start: int, step: int, room: float
) -> Largest:
    """Searches the largest batch whose program fits.

    Args:
      memory: batch size -> (bytes that its program takes of a device, or None where that is not
        known; whether it can be compiled).
      start: the batch size that is tried first.
      step: what batch sizes are multiples of: the devices, times the microbatches of a batch.
      room: bytes there are.
    """
    tried: dict[int, float | None] = {}
    fits: dict[int, float] = {}
    refused: list[int] = []
    batch: int | None = max(start // step, 1) * step
    while batch is not None and len(tried) < COMPILATIONS:
        size, compiled = memory(batch)
        tried[batch] = size
        if compiled and size is not None and size <= room:
            fits[batch] = size
        else:
            refused.append(batch)
        batch = _next(tried, fits, refused, step, room)
    best = max(fits, default=0)
    return Largest(
        batch_size=best,
        memory=fits.get(best, 0.0),
        refused=min(refused, default=None),
        tried=tried,
    )


def _next(
    tried: dict[int, float | None],
    fits: dict[int, float],
    refused: list[int],
    step: int,
    room: float,
) -> int | None:
    """The batch to be tried next; None where the largest is found, or close enough."""
    most = MOST // step * step
    low, high = max(fits, default=0), min(refused, default=most + step)
    if high - low <= step or (low and fits[low] >= CLOSE * room):
        return None
    known = sorted((b for b, size in tried.items() if size is not None), key=lambda b: abs(b - low))
    guess = 2.0 * low
    if len(known) > 1:
        (at_a, a), (at_b, b) = ((tried[batch] or 0.0, batch) for batch in known[:2])
        slope = (at_b - at_a) / (b - a)
        guess = a + (AIMED * room - at_a) / slope if slope > 0 else guess
    if not low + step <= guess <= high - step:
        between = math.sqrt(low * high) if high > 4 * low else (low + high) / 2
        guess = max(between, low + step) if low and refused else high / 2 if refused else most
    return int(guess // step) * step
