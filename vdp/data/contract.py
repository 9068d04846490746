"""What a source of data gives, looked at before anything is built on it.

Images in [0, 1] where levels are meant, or a split under another name, would train all the same,
and every number of that run would be of other data.
"""

from typing import Any

import numpy as np

from vdp.data.core import SPLIT_NAMES, Info, Split
from vdp.errors import UserError

NAMES = tuple(dict.fromkeys(SPLIT_NAMES.values()))


def check(source: str, info: Info, splits: Any) -> None:
    """Refuses what `load` of a source must not give.

    Args:
      source: its name.
      info: the facts that it gives with the images.
      splits: the images as they are stored.

    Raises:
      UserError: a split has another name, type, shape, or levels; it is named.
    """
    gives = f"the data source {source} gives"
    if not isinstance(splits, dict) or "train" not in splits or not {*splits} <= {*NAMES}:
        found = ", ".join(map(str, splits)) if isinstance(splits, dict) else type(splits).__name__
        raise UserError(f"{gives} {found or 'nothing'} where splits {', '.join(NAMES)} are named")
    for name, split in splits.items():
        if not isinstance(split, Split):
            kind = type(split).__name__
            raise UserError(f"{gives} {kind} for {name}: return vdp.data.core.Split.of(images)")
        images, labels = split.images, split.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != info.shape[2]:
            raise UserError(
                f"{gives} images {images.dtype} {list(images.shape)} for {name} where levels, "
                f"uint8 [N, H, W, {info.shape[2]}], are needed"
            )
        if labels.shape != images.shape[:1]:
            raise UserError(f"{gives} {len(images)} images and {len(labels)} labels for {name}")
        if images.size and images.max() >= info.levels:
            raise UserError(
                f"{gives} the level {images.max()} in {name}, and its info has levels={info.levels}"
            )
