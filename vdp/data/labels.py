"""Labels as they are stored, as classes 0..K-1."""

import numpy as np
from jaxtyping import Int32, Shaped

from vdp.errors import UserError


def whole(
    values: Shaped[np.ndarray, "..."], count: int, *, where: str, unlabelled: bool = False
) -> Int32[np.ndarray, "n"]:
    """Labels int32 [N] of values [N], [N, 1], or one-hot [N, K].

    Args:
      values: as stored: whole numbers of any type, or True and False.
      count: N, the number of images.
      where: the file and the name of the labels in it, as the subject of an error.
      unlabelled: -1 may stand for "no label".

    Raises:
      UserError: another number of labels than of images, or what is no class from 0.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or len(values) != count:
        raise UserError(
            f"{where} have shape {list(values.shape)} for {count} images: one class an image, [N] "
            "or [N, 1], or one-hot [N, K]"
        )
    if values.dtype.kind not in "biuf":
        raise UserError(f"{where} are no numbers: number the classes from 0")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise UserError(f"{where} are not whole numbers: number the classes from 0")
    if values.ndim == 2:
        if not (((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()):
            raise UserError(
                f"{where} have several columns and are not one-hot: store one class [N]"
            )
        return values.argmax(axis=1).astype(np.int32)
    lowest, highest = values.min(), values.max()
    if lowest < (-1 if unlabelled else 0) or highest > np.iinfo(np.int32).max:
        raise UserError(
            f"{where} go from {lowest} to {highest}: number the classes from 0, and leave the "
            "labels out where there are none"
        )
    return values.astype(np.int32)


def fewer(seen: Int32[np.ndarray, "m"], every: Int32[np.ndarray, "n"]) -> dict[str, int] | None:
    """Of how many classes labels are, where all labels of a split are of more: {"seen", "split"}.

    -1 is no class. None where they are of as many.
    """
    found, all_of_them = (len(np.unique(labels[labels >= 0])) for labels in (seen, every))
    return {"seen": found, "split": all_of_them} if found < all_of_them else None
