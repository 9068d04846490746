"""FID over the number of samples, and of infinitely many: how much of it is the number alone."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from vdp.data import datasets
from vdp.metrics import fid, fid_extrapolation
from vdp.run import Run
from vdp.types import Model


def measure(
    run: Run[Model],
    dataset: datasets.Dataset,
    features: fid.Features,
    images: UInt8[np.ndarray, "n h w c"],
) -> dict[str, Any]:
    """What a result holds of FID over the number of samples.

    Args:
      run: whose samples they are; its settings name the reference.
      dataset: the data of `run.settings.data`.
      features: of `vdp.evaluation.features`.
      images: the samples as levels of the data, in the order they were drawn
        (`vdp.evaluation.samples.draw(...).images`).

    Returns:
      {"rows": [{"num", "mean", "sd", "subsets"}, ...], "extrapolated": {"mean", "se"} or None} of
      `fid_extrapolation.extrapolated`, and "num_features", above which the least "num" has to lie.
    """
    reference = dataset.splits[run.settings.eval.fid_reference].images
    found = features.apply(images)
    expected = fid.cached_statistics(features, reference)
    return fid_extrapolation.extrapolated(found, expected) | {"num_features": found.shape[1]}
