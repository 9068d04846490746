"""Whether a density integrates to one, and whether its samples are its own.

In two dimensions by a grid, or by importance weights where a density is itself an average over
paths; in more by bridge sampling (Meng & Wong 1996) between the samples and a mixture of Gaussians
fitted to them, and by Stein's identity E[(z - m) d log p / dz] = -1. Each says what is granted to
chance and rounding, and leaves open what its own error is too large for.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from vdp.checks.report import ERRORS, Verdict

LogDensity = Callable[[np.ndarray], np.ndarray]  # z [N, D] to log p(z), [N], in nats
GRID = 201  # points along each of two axes
SLACK = 0.02  # relative, granted to every comparison besides its errors
MOST = 0.15  # relative, that may be granted in all: with larger errors weights decide nothing
FEWEST = 100.0  # effective draws: with fewer they do not either


class Grid(NamedTuple):
    """A density on a grid around samples of it: [N], [N, 2], area of a cell, [M, 2]."""

    density: np.ndarray
    points: np.ndarray
    cell: float
    samples: np.ndarray


class Weighted(NamedTuple):
    """Draws z of a proposal q, [N, 2], log p(z)/q(z), [N], and samples of p, [M, 2].

    A weight may be random, if its exponential is p(z)/q(z) on average over all but z.
    """

    points: np.ndarray
    log_weights: np.ndarray
    samples: np.ndarray


def grid_around(samples: np.ndarray, points: int = GRID) -> tuple[np.ndarray, float]:
    """A grid over twice the range of samples [N, 2]: its points [points^2, 2], area of a cell."""
    center = (samples.max(0) + samples.min(0)) / 2
    half = samples.max(0) - samples.min(0) + 1e-3
    axes = [np.linspace(c - h, c + h, points) for c, h in zip(center, half, strict=True)]
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2), float(cell)


def mass_on_grid(density: np.ndarray, cell: float) -> Verdict:
    """Whether a density on the points of `grid_around` sums to one.

    The sum over every other point beside it says how well the grid resolves the density.
    """
    side = round(len(density) ** 0.5)
    square = np.asarray(density, np.float64).reshape(side, side)
    mass = float(square.sum() * cell)
    error = abs(mass - float(square[::2, ::2].sum() * 4 * cell))
    said = f"its integral over a grid is {mass:.4g}"
    if not np.isfinite(mass) or error > 0.05 * max(mass, 1e-3):
        return None, f"{said}, but the grid is too coarse or too small for it (± {error:.2g})"
    allowed = SLACK + 2 * error
    return abs(mass - 1) <= allowed, f"{said}; 1 ± {allowed:.2g} is allowed"


def moments_on_grid(grid: Grid) -> Verdict:
    """Whether samples have the mean and deviations of a density on a grid that resolves it."""
    if mass_on_grid(grid.density, grid.cell)[0] is None:
        return None, "the grid is too coarse or too small for the density"
    weights = np.asarray(grid.density, np.float64) / np.sum(grid.density)
    return _moments(weights, grid.points, grid.samples, np.zeros(2), np.zeros(2))


def mass_by_weights(weighted: Weighted) -> Verdict:
    """Whether a density integrates to one, by the mean of its importance weights."""
    weights = np.exp(np.asarray(weighted.log_weights, np.float64))
    mass, error = float(weights.mean()), float(weights.std() / np.sqrt(len(weights)))
    said = f"its integral is {mass:.4g} ± {error:.2g} ({len(weights):,} weighted draws)"
    if unclear := _unclear(weights):
        return None, f"{said}: {unclear}"
    allowed = ERRORS * error + SLACK
    return abs(mass - 1) <= allowed, f"{said}; 1 ± {allowed:.2g} is allowed"


def moments_by_weights(weighted: Weighted) -> Verdict:
    """Whether samples have the mean and deviations that weighted draws have."""
    weights = np.exp(np.asarray(weighted.log_weights, np.float64))
    if unclear := _unclear(weights):
        return None, unclear
    weights /= weights.sum()
    away = weighted.points - weights @ weighted.points
    std = np.sqrt(weights @ away**2)
    mean_error = np.sqrt(weights**2 @ away**2)
    std_error = np.sqrt(weights**2 @ (away**2 - std**2) ** 2) / (2 * std)
    if _is_too_large(float(np.max([mean_error, std_error] / std))):
        return None, "the errors of mean and deviations are too large to say more"
    return _moments(weights, weighted.points, weighted.samples, mean_error, std_error)


def _unclear(weights: np.ndarray) -> str:
    """Why weights decide nothing; "" where they do, also where all are zero or one is infinite."""
    mass = weights.mean()
    if not np.isfinite(mass) or mass <= 0:
        return ""
    effective = weights.sum() ** 2 / np.sum(weights**2)
    error = weights.std() / np.sqrt(len(weights)) / mass
    few = effective < FEWEST or _is_too_large(error)
    return f"the weight lies on {effective:.0f} of the draws, too few to say more" if few else ""


def _is_too_large(error: float) -> bool:
    """Whether a relative standard error makes the tolerance too wide for a law to mean much."""
    return bool(ERRORS * error + SLACK > MOST)


def _moments(
    weights: np.ndarray,
    points: np.ndarray,
    samples: np.ndarray,
    mean_error: np.ndarray,
    std_error: np.ndarray,
) -> Verdict:
    """Whether samples [M, 2] have the mean and deviations of weighted points.

    Args:
      weights: [N], of the points; their sum is 1.
      points: [N, 2].
      samples: [M, 2].
      mean_error: [2], of the mean of the points.
      std_error: [2], of their deviations.
    """
    mean = weights @ points
    std = np.sqrt(weights @ (points - mean) ** 2)
    error = np.hypot(std / np.sqrt(len(samples)), mean_error)
    # the error of a deviation by its delta method: light and heavy tails alike
    fourth = np.mean((samples - samples.mean(0)) ** 4, axis=0)
    spread = np.sqrt(np.maximum(fourth - samples.var(0) ** 2, 0) / len(samples)) / (2 * std)
    spread = np.hypot(spread, std_error)
    off = np.abs(samples.mean(0) - mean) / (ERRORS * error + SLACK * std)
    wide = np.abs(samples.std(0) - std) / (ERRORS * spread + SLACK * std)
    worst = float(np.max([off, wide]))  # not a number where the density is none
    said = (
        f"means {_few(samples.mean(0))} for {_few(mean)}, deviations {_few(samples.std(0))} for "
        f"{_few(std)}; at most {worst:.2g} of the difference that is allowed"
    )
    return worst <= 1, said


def mass_by_bridge(log_prob: LogDensity, samples: np.ndarray, seed: int) -> Verdict:
    """Whether the density of samples [N, D] integrates to one, by bridge sampling.

    Half of the samples fit a mixture of Gaussians q; the other half and draws of q give
    Z = E_q[p h] / E_p[q h] with the h of least variance, found by iteration.
    """
    from sklearn.mixture import GaussianMixture

    fitted, rest = samples[::2].astype(np.float64), samples[1::2]
    count = min(8, max(1, len(fitted) // (20 * samples.shape[1])))
    kind = "full" if samples.shape[1] <= 16 else "diag"
    proposal = GaussianMixture(count, covariance_type=kind, random_state=seed).fit(fitted)
    drawn = proposal.sample(len(rest))[0].astype(np.float32)
    at_own = np.asarray(log_prob(rest), np.float64) - proposal.score_samples(rest)
    at_drawn = np.asarray(log_prob(drawn), np.float64) - proposal.score_samples(drawn)
    if not np.isfinite(at_own).all() or np.isnan(at_drawn).any():
        return False, "log p is not finite at its own samples"
    log_mass, error = _bridge(at_own, at_drawn)
    said = f"the logarithm of its integral is {log_mass:.3g} ± {error:.2g} (bridge sampling)"
    if error > 0.2:
        return None, f"{said}: too few of the samples overlap to say more"
    allowed = ERRORS * error + SLACK
    return abs(log_mass) <= allowed, f"{said}; 0 ± {allowed:.2g} is allowed"


def _bridge(at_own: np.ndarray, at_drawn: np.ndarray) -> tuple[float, float]:
    """(log Z, its error) from log p/q at samples of p and at as many of q."""
    log_z = float(np.median(at_own))
    for _ in range(200):
        # f1 = (p/q) / (p/q + Z) at q's, f2 = 1 / (p/q + Z) at p's, both times Z
        upper = expit(at_drawn - log_z)
        lower = expit(log_z - at_own)
        step = np.log(upper.mean() + 1e-300) - np.log(lower.mean() + 1e-300)
        log_z += float(step)
        if abs(step) < 1e-8:
            break
    relative = upper.var() / max(upper.mean(), 1e-300) ** 2
    relative += lower.var() / max(lower.mean(), 1e-300) ** 2
    return log_z, float(np.sqrt(relative / len(at_own)))


def stein(samples: np.ndarray, scores: np.ndarray) -> Verdict:
    """Whether samples [N, D] have the slopes [N, D] of their log-density: Stein's identity.

    E[(z_d - m_d) d log p/dz_d] = -1 for every smooth density that falls to 0; a density that jumps
    breaks it too.
    """
    products = (samples - samples.mean(0)) * scores
    mean, error = products.mean(0), products.std(0) / np.sqrt(len(products))
    worst = int(np.argmax(np.abs(mean + 1) / (error + 1e-3)))
    deviations = np.abs(mean[worst] + 1) / (error[worst] + 1e-3)
    whole = products.mean(1)
    total, total_error = float(whole.mean()), float(whole.std() / np.sqrt(len(whole)))
    allowed = ERRORS * total_error + 0.01
    said = (
        f"E[(z - m) d log p/dz] is {total:.4g} ± {total_error:.2g}; -1 ± {allowed:.2g} is allowed"
    )
    if not np.isfinite(total):
        return False, f"{said}: not finite"
    many = ERRORS + np.sqrt(2 * np.log(len(mean)))  # the largest of D deviations
    said += f"; a single one is off by {deviations:.2g} errors of {many:.2g}"
    return bool(abs(total + 1) <= allowed and deviations <= many), said


def _few(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"
