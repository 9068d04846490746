"""The 8x8 handwritten digits inside scikit-learn (UCI optdigits test set): 1,797 images."""

import numpy as np

from vdp.data.core import Info, Request, Split, Splits, hold_out

NUM_TEST = 360


def info(arg: str, request: Request | None = None) -> Info:
    """8x8, one channel, 17 grey levels."""
    return Info(
        name="digits",
        shape=(8, 8, 1),
        levels=17,
        num_classes=10,
        counts={"train": 1797 - NUM_TEST, "test": NUM_TEST},
    )


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Holds 360 images out for the test split by `data.split_seed`; needs no files."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    everything = Split.of(bunch.images.astype(np.uint8), bunch.target)
    train, test = hold_out(everything, NUM_TEST, request.split_seed)
    return info(arg), {"train": train, "test": test}
