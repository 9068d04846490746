"""Whether a density integrates to one, and whether its samples are its own.

In two dimensions by a grid; in more by bridge sampling (Meng & Wong 1996) between the samples and a
mixture of Gaussians fitted to them, and by Stein's identity E[(z - m) d log p / dz] = -1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from vdp.checks.report import ERRORS, Verdict

LogDensity = Callable[[np.ndarray], np.ndarray]  # z [N, D] to log p(z), [N], in nats
GRID = 201  # points along each of two axes


class Grid(NamedTuple):
    """A density on a grid around samples of it: [N], [N, 2], area of a cell, [M, 2]."""

    density: np.ndarray
    points: np.ndarray
    cell: float
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
    return abs(mass - 1) <= 0.02 + 2 * error, said


def moments_on_grid(
    density: np.ndarray, points: np.ndarray, cell: float, samples: np.ndarray
) -> Verdict:
    """Whether samples [N, 2] have the mean and deviations of a density on a grid."""
    weights = np.asarray(density, np.float64) / np.sum(density)
    mean = weights @ points
    std = np.sqrt(weights @ (points - mean) ** 2)
    error = std / np.sqrt(len(samples))
    # the error of a deviation by its delta method: light and heavy tails alike
    fourth = np.mean((samples - samples.mean(0)) ** 4, axis=0)
    spread = np.sqrt(np.maximum(fourth - samples.var(0) ** 2, 0) / len(samples)) / (2 * std)
    off = np.abs(samples.mean(0) - mean) - ERRORS * error - 0.02 * std
    wide = np.abs(samples.std(0) - std) - ERRORS * spread - 0.02 * std
    said = (
        f"means {_few(samples.mean(0))} for {_few(mean)}, deviations {_few(samples.std(0))} for "
        f"{_few(std)}"
    )
    return bool(np.all(off <= 0) and np.all(wide <= 0)), said


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
    return abs(log_mass) <= ERRORS * error + 0.02, said


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
    said = f"E[(z - m) d log p/dz] is {total:.4g} ± {total_error:.2g} for -1"
    if not np.isfinite(total):
        return False, f"{said}: not finite"
    many = ERRORS + np.sqrt(2 * np.log(len(mean)))  # the largest of D deviations
    return bool(abs(total + 1) <= ERRORS * total_error + 0.01 and deviations <= many), said


def _few(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"
