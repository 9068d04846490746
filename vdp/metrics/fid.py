"""Frechet distance between Gaussian fits of features (Heusel et al. 2017), any feature function.

The number depends on the features, on how many images there are, on the reference and on rounding:
it is never given without them.
"""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Float64, UInt8

from vdp.runtime import files, hashes, npz, parallel

logger = logging.getLogger("vdp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """A feature function.

    Attributes:
      name: what every output calls it, e.g. "classifier of digits".
      fingerprint: of its weights; names the cache of its statistics.
      apply: images uint8 [N, H, W, C] of any number N to features [N, D].
    """

    name: str
    fingerprint: str
    apply: Callable[[UInt8[np.ndarray, "n h w c"]], Float[np.ndarray, "n d"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean [D] and covariance [D, D] (ddof = 1) of features of `num` images, float64."""

    mean: Float64[np.ndarray, "d"]
    covariance: Float64[np.ndarray, "d d"]
    num: int

    @functools.cached_property
    def root(self) -> Float64[np.ndarray, "d d"]:
        """The symmetric root of the covariance, by its eigenvalues."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def statistics(features: Float[np.ndarray, "n d"]) -> Statistics:
    """Fits a Gaussian to features [N, D], N >= 2."""
    features = np.asarray(features, np.float64)
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    return Statistics(mean=features.mean(0), covariance=covariance, num=len(features))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """The squared distance |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_b^1/2 S_a S_b^1/2)^1/2).

    Roots are taken of symmetric positive matrices by their eigenvalues, so that singular
    covariances (fewer images than features) need no correction and nothing turns complex. The
    root of `b` is cached, for many distances from one reference.
    """
    inner = np.linalg.eigvalsh(b.root @ a.covariance @ b.root)
    cross = np.sqrt(np.clip(inner, 0, None)).sum()
    difference = np.sum((a.mean - b.mean) ** 2)
    total = difference + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return float(max(total, 0.0))  # rounding alone can take it below


def cached_statistics(features: Features, images: UInt8[np.ndarray, "n h w c"]) -> Statistics:
    """Statistics of uint8 images [N, H, W, C], read from the cache where these are in it."""
    name = hashes.digest(features.fingerprint, images)[:32]
    path = files.cache_folder() / "statistics" / f"{name}.npz"
    stored = npz.read(path)
    statistics_there = _stored_statistics(stored)
    missing = parallel.agreed(statistics_there is None)  # which all compute together
    if not missing and statistics_there is not None:
        return statistics_there
    if stored != {}:
        logger.warning(f"{path} is damaged: the statistics of FID are computed again")
    computed = statistics(features.apply(images))
    with contextlib.suppress(OSError):  # a read-only cache costs time, nothing else
        npz.write(path, dataclasses.asdict(computed))
    return computed


def _stored_statistics(stored: Mapping[str, np.ndarray] | None) -> Statistics | None:
    """What a file of the cache holds; None where it is not what was written."""
    if not stored or set(stored) != {"mean", "covariance", "num"}:
        return None
    mean, covariance, num = stored["mean"], stored["covariance"], stored["num"]
    shapes = mean.shape * 2 == covariance.shape and mean.ndim == 1 and num.shape == ()
    kinds = mean.dtype == covariance.dtype == np.float64 and num.dtype.kind == "i"
    if not (shapes and kinds):
        return None
    return Statistics(mean=mean, covariance=covariance, num=int(num))
