"""FID over the number of samples, and of infinitely many: how much of it is the number alone."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from vdp.data import datasets
from vdp.evaluation import samples
from vdp.evaluation.doublings import Asked, in_nats
from vdp.metrics import fid, fid_extrapolation
from vdp.run import Run
from vdp.types import Model


def report(asked: Asked) -> dict[str, Any]:
    """The report `fid` of eval.convergence, of `eval.fid_samples` samples.

    It has converged where what the number of samples adds is within two errors of nothing.
    """
    assert asked.features is not None  # fetched where fid is asked for
    drawn = samples.draw(asked.run, asked.kept.rows("samples"))
    found = measure(asked.run, asked.dataset, asked.features, drawn.images)
    rows = [{"num": row["num"], "fid": _estimate(row)} for row in found["rows"]]
    limit, num = found["extrapolated"], len(drawn.images)
    if not rows:
        words, converged = f"{num} samples are too few for a line", None
    elif limit is None:
        words = f"FID {rows[-1]['fid']['mean']:.2f} of {num:,} samples, too few to extrapolate"
        words += f" with {found['num_features']} features: raise eval.fid_samples"
        converged = None
    else:
        bias = rows[-1]["fid"]["mean"] - limit["mean"]
        converged = abs(bias) <= 2 * limit["se"]
        words = f"FID {rows[-1]['fid']['mean']:.2f} of {num:,} samples, {in_nats(limit)} of "
        words += "infinitely many"
    return {
        "num_examples": num,
        "rows": rows,
        "extrapolated": limit,
        "words": words,
        "converged": converged,
    }


def _estimate(row: fid_extrapolation.Row) -> dict[str, Any]:
    error = None if row["sd"] is None else row["sd"] / row["subsets"] ** 0.5
    return {"mean": row["mean"], "se": error}


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
