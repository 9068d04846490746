"""FID over the number of samples, and of infinitely many: how much of it is the number alone."""

from typing import Any

from vdp.evaluation.doublings import Material, in_nats
from vdp.metrics import fid, fid_extrapolation

TOLERANCE = 0.01  # of the extrapolated FID


def report(material: Material) -> dict[str, Any]:
    """The report `fid` of eval.convergence, of `eval.fid_samples` samples.

    It has converged where the bias plus two standard errors is at most TOLERANCE of the
    extrapolated FID, and has not where the bias is above that by more than two standard errors.
    """
    assert material.features is not None  # both are there where fid is asked for
    assert material.samples is not None
    samples = material.samples()
    reference = material.dataset.splits[material.run.settings.eval.fid_reference].images
    expected = fid.cached_statistics(material.features, reference)
    found = fid_extrapolation.extrapolated(samples, expected)
    rows = [{"num": row["num"], "fid": _estimate(row)} for row in found["rows"]]
    limit, (num, num_features) = found["extrapolated"], samples.shape
    if not rows:
        words, converged = f"{num} samples are too few for a line", None
    elif limit is None:
        words = f"FID {rows[-1]['fid']['mean']:.2f} of {num:,} samples, too few to extrapolate"
        words += f" with {num_features} features: raise eval.fid_samples"
        converged = None
    else:
        away, allowed = abs(found["bias"]["mean"]), TOLERANCE * limit["mean"]
        error = 2 * found["bias"]["se"]
        converged = True if away + error <= allowed else False if away - error > allowed else None
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
