"""Means over images and seeds, and their differences, with errors: a crossed random-effects model.

A number of seed s on image i is taken as y_si = mu + a_s + b_i + e_si: every seed is a draw from
the runs that the recipe could have given, every image one from the images there are, and all seeds
of all models see the same images. Errors are those of mu under both (Brennan 2001,
"Generalizability Theory", chapter 2; the variance components by analysis of variance), with the
degrees of freedom of Satterthwaite (1946), and no more than those of the seeds: where a few seeds
happen to agree, their variance is estimated too small, and his formula trusts it the more.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

TWO = float(stats.norm.cdf(2))  # what lies below two standard errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, or a difference of two, and how well it is known.

    Attributes:
      mean: over seeds and images.
      over_images: the part of its standard error that the choice of images has; None of one image.
      over_seeds: the part that the choice of seeds has; None where no model has two seeds.
      freedom: degrees of freedom of the error; infinite where the error is taken as known
        exactly.
      seeds: of how many runs a mean is.
    """

    mean: float
    over_images: float | None
    over_seeds: float | None = None
    freedom: float = math.inf
    seeds: int = 1

    @property
    def se(self) -> float | None:
        """The standard error of the mean, images and seeds together."""
        if self.over_images is None:
            return None
        return math.hypot(self.over_images, self.over_seeds or 0.0)

    @property
    def threshold(self) -> float | None:
        """Two standard errors; of few degrees of freedom, what is as rare under Student's t."""
        return None if self.se is None else float(stats.t.ppf(TWO, self.freedom)) * self.se

    @property
    def beyond(self) -> bool:
        """Whether the mean lies beyond two errors from zero."""
        return self.threshold is not None and abs(self.mean) > self.threshold


@dataclasses.dataclass(frozen=True)
class _Seeds:
    """What one model's seeds add to the variance of its mean, and the degrees of freedom."""

    variance: float
    freedom: int


def _seeds(values: Float[np.ndarray, "s n"]) -> _Seeds | None:
    """The variance of the mean by a_s alone, at least 0; None where there is one seed."""
    seeds, images = values.shape
    if seeds < 2:
        return None
    means = values.mean(1)
    variance = means.var(ddof=1) / seeds
    if images > 1:  # what e_si adds to the means is among the spread over images already
        residuals = values - means[:, None] - values.mean(0) + values.mean()
        interaction = np.sum(residuals**2) / ((seeds - 1) * (images - 1))
        variance -= interaction / (seeds * images)
    return _Seeds(max(float(variance), 0.0), seeds - 1)


def _freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances: (sum v)^2 / sum (v^2 / nu).

    Args:
      parts: each variance v with its own degrees of freedom nu.
    """
    squares = sum(variance**2 / freedom for variance, freedom in parts)
    return sum(variance for variance, _ in parts) ** 2 / squares if squares else math.inf


def _limited(freedom: float, of_seeds: Sequence[int]) -> float:
    """Degrees of freedom, at most those of the seeds of the models that have several."""
    return min(freedom, sum(of_seeds)) if of_seeds else freedom


def mean(values: Float[np.ndarray, "s n"]) -> Estimate:
    """The mean of one model's numbers, of S seeds on N images."""
    return dataclasses.replace(_estimate(np.asarray(values, np.float64), None), seeds=len(values))


def difference(a: Float[np.ndarray, "s n"], b: Float[np.ndarray, "t n"]) -> Estimate:
    """The mean of `a` minus that of `b`, paired by image.

    Args:
      a: of one model, of S seeds on N images.
      b: of another, of T seeds on the same images in the same order; its seeds are others, even
        where their numbers are the same. Where one of the two has a single seed, that is taken to
        spread as those of the other.
    """
    return _estimate(np.asarray(a, np.float64), np.asarray(b, np.float64))


def _of_both(a: np.ndarray, b: np.ndarray) -> list[_Seeds]:
    """What the seeds of two models add; one seed is assumed to vary as those of the other model."""
    found = [_seeds(values) for values in (a, b)]
    known = [part for part in found if part]
    if len(known) == 1:
        several = len(a) if found[0] else len(b)
        (part,) = known  # of the mean of several seeds; of one seed, `several` times that
        return [_Seeds(part.variance * (1 + several), part.freedom)]
    return known


def _estimate(a: np.ndarray, b: np.ndarray | None) -> Estimate:
    by_image = a.mean(0) if b is None else a.mean(0) - b.mean(0)
    images = len(by_image)
    seeds = _of_both(a, b) if b is not None else [part for part in [_seeds(a)] if part]
    between = sum(part.variance for part in seeds)
    centre = float(by_image.mean())
    if images < 2:
        return Estimate(mean=centre, over_images=None)
    within = float(by_image.var(ddof=1)) / images
    freedom = _freedom([(within, images - 1), *((p.variance, p.freedom) for p in seeds)])
    return Estimate(
        mean=centre,
        over_images=math.sqrt(within),
        over_seeds=math.sqrt(between) if seeds else None,
        freedom=_limited(freedom, [part.freedom for part in seeds]),
    )


def of_summaries(means: Sequence[float], errors: Sequence[float | None]) -> Estimate:
    """The mean over seeds of what each run says of itself, where the images are not known.

    Args:
      means: of each seed.
      errors: of each, over images; None where there is none.
    """
    known = [error for error in errors if error is not None]
    images = math.sqrt(float(np.mean(np.square(known)))) if len(known) == len(means) else None
    centre = float(np.mean(means))
    if len(means) < 2 or images is None:
        return Estimate(mean=centre, over_images=images)
    between = float(np.var(means, ddof=1)) / len(means)
    freedom = _freedom([(images**2, math.inf), (between, len(means) - 1)])
    return Estimate(
        mean=centre,
        over_images=images,
        over_seeds=math.sqrt(between),
        freedom=_limited(freedom, [len(means) - 1]),
        seeds=len(means),
    )


def unpaired(a: Estimate, b: Estimate) -> Estimate:
    """The difference of two means whose images are not known to be the same: errors add up.

    Of the same images the error is too large where they are easy and hard for both alike. Where one
    of the two has a single seed, that is taken to spread as those of the other.
    """
    if a.over_images is None or b.over_images is None:
        return Estimate(mean=a.mean - b.mean, over_images=None)
    images = math.hypot(a.over_images, b.over_images)
    several = [part for part in (a, b) if part.over_seeds is not None]
    if len(several) == 1:
        (known,) = several
        between = (known.over_seeds or 0.0) ** 2 * (1 + known.seeds)
        parts = [(images**2, math.inf), (between, known.seeds - 1)]
    else:
        between = sum((part.over_seeds or 0.0) ** 2 for part in several)
        parts = [((part.se or 0.0) ** 2, part.freedom) for part in (a, b)]
    return Estimate(
        mean=a.mean - b.mean,
        over_images=images,
        over_seeds=math.sqrt(between) if several else None,
        freedom=_limited(_freedom(parts), [part.seeds - 1 for part in several]),
    )
