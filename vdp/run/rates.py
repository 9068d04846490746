"""The rate of compressed images beside the bound of the model that coded them."""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from vdp.codec import Encoded
from vdp.metrics import score
from vdp.metrics.likelihood import bits_per_dim, mean_and_error
from vdp.run.base import M
from vdp.run.compression import coded_model
from vdp.run.opened import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rate:
    """A rate and a bound over the same images, in bits per dimension.

    Attributes:
      model: whose bound it is, as "T=4, calibrated".
      rate: of the images, without the file's head and the initial bits.
      bound: its mean over images.
      bound_se: its standard error over images; None of one image.
      gap: the share by which the rate is above the bound.
      gap_se: its standard error over batches; None of one batch.
    """

    model: str
    rate: float
    bound: float
    bound_se: float | None
    gap: float
    gap_se: float | None


def beside_bound(run: Run[M], images: UInt8[np.ndarray, "n h w c"], encoded: Encoded) -> Rate:
    """The rate of images that a run has encoded, and its bound on them, at one draw for each."""
    model = coded_model(run.model)
    terms = run.map(score.flat_terms, run.arrays(images), model=model)
    nats = np.asarray(terms["value"], np.float64)
    bound = mean_and_error(bits_per_dim(nats, run.facts.shape))
    share, error = gap(encoded.bits, -nats / np.log(2), encoded.lanes)
    return Rate(
        model=model.bound_model,
        rate=float(encoded.bits.sum()) / images.size,
        bound=bound["mean"],
        bound_se=bound["se"],
        gap=share,
        gap_se=error,
    )


def gap(
    bits: Float[np.ndarray, "b"], bounds: Float[np.ndarray, "n"], lanes: int
) -> tuple[float, float | None]:
    """(share by which the bits are above the bound, its standard error over batches or None).

    Args:
      bits: of every batch.
      bounds: of every image, in bits.
      lanes: images of a batch.
    """
    expected = np.add.reduceat(bounds, range(0, len(bounds), lanes))
    apart, total = bits - expected, float(expected.sum())
    error = float(np.sqrt(len(bits)) * apart.std(ddof=1)) / total if len(bits) > 1 else None
    return float(apart.sum()) / total, error
