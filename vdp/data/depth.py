"""How many grey levels stored numbers have, and the same greys at fewer levels.

A Batch holds uint8, so images have at most 256 levels. Deeper ones are scaled where `data.levels`
asks for it and refused otherwise: nothing is clipped, wrapped or stretched unasked.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8

from vdp.errors import UserError

MOST = 256  # levels of a uint8
DEEPEST = 65_536  # levels of 16 bits
WHITES = (MOST - 1, DEEPEST - 1)  # what two-valued pictures have beside 0

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


def settle(
    arrays: Arrays, *, where: str, wanted: int = 0, declared: int = 0
) -> tuple[dict[str, UInt8[np.ndarray, "..."]], int]:
    """Stored numbers of any type as uint8 levels 0..L-1, and L.

    Whole numbers are levels. Their L is `declared`, else it follows from all splits together: 2
    where they are 0 and 1, or 0 and white (255, or 65,535 of 16 bits) alone, as no grey pictures
    are; 256 up to 255; 65,536 up to 65,535. Fractions in [0, 1] are shares of the brightest level
    and have to be given a number of levels.

    Args:
      arrays: pixels of every split, of one type and any shape.
      where: the file or folder, as the subject of an error.
      wanted: `data.levels`: the levels to scale to, to the nearest; 0 leaves them as stored.
      declared: what the file itself says; 0 where it says nothing.

    Raises:
      UserError: no number of levels can be meant, or more than 256 of them and none are `wanted`.
    """
    kinds = {array.dtype.kind for array in arrays.values()}
    if not kinds <= set("biuf"):
        raise UserError(f"{where} has pixels that are no numbers: store levels as uint8")
    if declared and not 2 <= declared <= DEEPEST:
        raise UserError(
            f"{where} announces {declared} levels: images have 2 to {DEEPEST} of them, and at most "
            f"{MOST} without config.data.levels"
        )
    lows = [array.min().item() for array in arrays.values()]
    highs = [array.max().item() for array in arrays.values()]
    if not np.isfinite([*lows, *highs]).all():
        raise UserError(f"{where} has pixels that are NaN or infinite: mend them where it is made")
    low, high = min(lows), max(highs)
    if low < 0:
        raise UserError(
            f"{where} has a pixel of {low}: store levels from 0, or fractions in [0, 1]"
        )
    if any(_has_fractions(array) for array in arrays.values()):
        if declared:
            check(declared, wanted, where=where)
        return _from_fractions(arrays, high, wanted or declared, where)
    if not declared and wanted in (0, 2) and high in WHITES and _are_two_valued(arrays, high):
        arrays, high = {name: array == high for name, array in arrays.items()}, 1
    stored = declared or _levels(int(high), kinds == {"b"})
    if high >= DEEPEST:
        raise UserError(
            f"{where} has a pixel of {int(high):,}, and whole levels are read up to "
            f"{DEEPEST - 1:,}: scale them where it is made, or store fractions in [0, 1]"
        )
    if high >= stored:
        raise UserError(
            f"{where} announces {stored} levels and has a pixel of {int(high)}: announce at least "
            f"one more than that, and at most {DEEPEST}"
        )
    check(stored, wanted, where=f"{where}, whose brightest pixel is {int(high):,},")
    return {name: scaled(array, stored, wanted) for name, array in arrays.items()}, wanted or stored


def check(stored: int, wanted: int, *, where: str) -> None:
    """Refuses images of `stored` levels that cannot be had at `wanted` ones (0: as stored).

    Raises:
      UserError: more levels are wanted than are stored, or none are and more than 256 are stored.
    """
    if wanted > stored:
        raise UserError(
            f"data.levels={wanted} is more than the {stored} levels of {where}: bits per dimension "
            f"would count levels that no image has; ask for at most {stored}, or 0 for all"
        )
    if not wanted and stored > MOST:
        raise UserError(
            f"{where} has {stored:,} levels, and images here have at most {MOST}: "
            f"config.data.levels={MOST} scales them"
        )


def scaled(array: Shaped[np.ndarray, "*s"], stored: int, wanted: int) -> UInt8[np.ndarray, "*s"]:
    """Whole numbers 0..stored-1 as the nearest of `wanted` levels (0: as stored), at most 256."""
    if wanted in (0, stored):
        return array.astype(np.uint8, copy=False)
    table = np.rint(np.arange(stored) * ((wanted - 1) / (stored - 1))).astype(np.uint8)
    return table[array if array.dtype.kind in "iu" else array.astype(np.int64)]


def _levels(high: int, is_boolean: bool) -> int:
    if high == 1 or is_boolean:
        return 2
    return MOST if high < MOST else DEEPEST


def _has_fractions(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and any((part != np.rint(part)).any() for part in array)


def _are_two_valued(arrays: Arrays, white: int) -> bool:
    images = (image for array in arrays.values() for image in array)
    return all(((image == 0) | (image == white)).all() for image in images)  # to the first grey


def _from_fractions(arrays: Arrays, high: float, levels: int, where: str):
    if high > 1 + 1e-6:  # beyond a rounding error
        raise UserError(
            f"{where} has fractions and a pixel of {high:g}: store whole levels, or fractions in "
            "[0, 1]"
        )
    if not 2 <= levels <= MOST:
        raise UserError(
            f"{where} has fractions in [0, 1], which say nothing of grey levels: "
            f"config.data.levels={MOST} rounds them to as many (2 to {MOST})"
        )
    rounded = lambda array: np.rint(np.minimum(array, 1) * (levels - 1)).astype(np.uint8)
    return {name: rounded(array) for name, array in arrays.items()}, levels
