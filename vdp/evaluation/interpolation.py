"""How smooth the images are that lie between the codes of two images: the numbers of eval.json."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int32, UInt8

from vdp.data import core
from vdp.metrics import smoothness
from vdp.run import Run
from vdp.types import Latent

PAIRS, STEPS = 500, 16
PAIRS_AT_ONCE = 50  # their images are not all kept


def measure(run: Run[Latent], images: UInt8[np.ndarray, "n h w c"]) -> dict[str, Any]:
    """How smooth decoded straight lines between codes are, as eval.json has it.

    Args:
      run: of a model with `decode_mean`.
      images: uint8 as the encoder sees them; of these PAIRS pairs at most, see `pairs`.

    Returns:
      {"steps": M, "pairs", "skipped": those that decode to one image, and every entry of
      `smoothness.measures` as {"mean", "se"} over the pairs that are left}.
    """
    chosen = pairs(len(images), PAIRS)
    codes = run.encode(images[chosen]).mean
    parts = []
    for first in range(0, len(chosen), 2 * PAIRS_AT_ONCE):
        some = codes[first : first + 2 * PAIRS_AT_ONCE]
        parts.append(smoothness.measures(lines(run, some, STEPS + 1)))
    each = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    left = len(each["path_ratio"])
    counts = {"steps": STEPS, "pairs": left, "skipped": len(chosen) // 2 - left}
    return counts | smoothness.summary(each)


def pairs(num: int, most: int) -> Int32[np.ndarray, "m"]:
    """Which of `num` images are the ends of lines, of `most` at most: entries 2i and 2i + 1 of one.

    They are spread over all images, and the two ends of a line are half of all images apart: files
    often hold images class by class.
    """
    halves = core.spread(num, 2 * min(num // 2, most)).reshape(2, -1)
    return halves.T.reshape(-1)


def lines(
    run: Run[Latent], codes: Float[np.ndarray, "n *z"], num: int
) -> Float[np.ndarray, "pairs {num} h w c"]:
    """Images at `num` points between each two codes (2i, 2i + 1): [pairs, num, H, W, C]."""
    lines = smoothness.between(codes[0::2], codes[1::2], num)
    return run.decode(lines.reshape(-1, *codes.shape[1:])).reshape(-1, num, *run.facts.shape)
