"""What the latents carry."""

import functools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logsumexp

from vdp.dists import Normal
from vdp.metrics.likelihood import mean_and_error
from vdp.types import Hierarchical, Shape, Stochastic

ACTIVE_THRESHOLD = 0.01
LEAST_RATE = 0.01  # nats an image: a latent with less, in the rate or in the means, is collapsed,
# and a unit unused
Nats = TypeVar("Nats", float, np.ndarray)
COLLAPSED, COLLAPSED_ANY = 0.05, 1.0  # nats of I in the mean, and of any one image


def names(model: Stochastic, x_shape: Shape) -> list[str]:
    """The latents of a model, top first, with the pseudo-input "u" where there is one.

    Args:
      model: whose latents they are.
      x_shape: (H, W, C) of an image.
    """
    has_u = isinstance(model, Hierarchical) and model.pseudoinput is not None
    return ["u"] * has_u + [row["name"] for row in model.latent_table(x_shape)]


def rates(parts: Mapping[str, Nats], names: Sequence[str]) -> dict[str, Nats]:
    """Minus the parts of the bound that belong to each latent, in nats.

    That of a hierarchy's z_l is conditional on all above. A part belongs to the latent whose name
    it begins with, or to the only one; latents without a part are left out.

    Args:
      parts: of a bound, numbers or arrays [N]; without "likelihood" no part is a latent's.
      names: of the latents.
    """
    if "likelihood" not in parts:
        return {}
    others = [part for part in parts if part != "likelihood"]
    belongs = lambda part, name: part == name or part.startswith(f"{name}_")
    found = {n: [p for p in others if len(names) == 1 or belongs(p, n)] for n in names}
    total = lambda own: functools.reduce(operator.add, [parts[part] for part in own])
    return {name: -total(own) for name, own in found.items() if own}


def signal(q: Normal) -> float:
    """How many nats of an image the means of a latent carry, on one batch, as Gaussian channels.

    sum_d log(1 + r_d)/2 over units, with r_d = var_n(mu_nd) / mean_n(sigma_nd^2), which no scale of
    the latent changes. What units share is counted twice, and what deviations alone tell is not
    seen. Infinity of a single image.

    Args:
      q: posteriors over [N, *shape].
    """
    if len(q.mean) < 2:
        return math.inf
    means = np.reshape(q.mean, (len(q.mean), -1)).astype(np.float64)
    variances = np.exp(np.reshape(q.log_var, means.shape).astype(np.float64)).mean(0)
    ratios = means.var(axis=0, ddof=1) / np.maximum(variances, 1e-300)
    return float(0.5 * np.log1p(ratios).sum())


def active_units(batches: Iterable[Float[np.ndarray, "_ s d"]]) -> dict[str, Any]:
    """Latent dimensions whose posterior mean varies over the data (Burda et al. 2015).

    A_i = var_n(mean_s mu_ns) - mean_n(var_s(mu_ns))/S > 0.01 (both ddof = 1): below the top of a
    hierarchy the mean depends on what is drawn above it, and S joint draws of that let the variance
    within one image be taken out. Where the mean is deterministic, S = 1 and nothing is.

    Args:
      batches: posterior means [B, S, D], in any number of batches of any size.

    Returns:
      {"active", "total", "share", "is_active": bool [D]}.
    """
    count, total, squares, within = 0, 0.0, 0.0, 0.0
    for means in batches:
        means = np.asarray(means, np.float64)
        draws, each = means.shape[1], means.mean(1)
        count, total = count + len(means), total + each.sum(0)
        squares = squares + np.square(each).sum(0)
        if draws > 1:
            within = within + means.var(axis=1, ddof=1).sum(0) / draws
    variance = (squares - np.square(total) / count) / max(count - 1, 1) - within / count
    active = np.atleast_1d(variance > ACTIVE_THRESHOLD) & (count > 1)
    return {
        "active": int(active.sum()),
        "total": len(active),
        "share": float(active.mean()),
        "is_active": active,
    }


def used_units(
    batches: Iterable[Float[np.ndarray, "_ d"]],
) -> tuple[Bool[np.ndarray, "d"], Bool[np.ndarray, "d"]]:
    """Units of a ladder that tell something of an image: a mean rate above LEAST_RATE nats.

    Below a pseudo-input, or other latents, a posterior mean can vary with the image because the
    prior's does, so that `active_units` counts units of latents that carry nothing.

    Args:
      batches: of `unit_rates`, [B, D] nats; NaN where a unit has no rate of its own.

    Returns:
      (whether each is used, whether it has a rate).
    """
    total, count = np.float64(0.0), 0
    for rates in batches:
        total, count = total + np.asarray(rates, np.float64).sum(0), count + len(rates)
    return np.atleast_1d(total / count > LEAST_RATE), np.atleast_1d(np.isfinite(total))


def information(
    mean: Float[np.ndarray, "n d"],
    log_var: Float[np.ndarray, "n d"],
    rate: float,
    *,
    seed: int = 0,
    block: int = 500,
) -> dict[str, Any]:
    """Splits the rate of a flat VAE: E_x KL(q(z|x) || p) = I(x; z) + KL(q(z) || p(z)).

    I is estimated against the N posteriors themselves, mean_n[log q(z_n|x_n) - log 1/N sum_m
    q(z_n|x_m)] with one draw z_n each: a lower bound in expectation (Poole et al. 2019) that cannot
    exceed log N, so what is left of the rate is at least the divergence of the aggregate posterior
    from the prior (Hoffman & Johnson 2016). Within 2 nats of log N, or with a rate beyond that, it
    says how many images there were rather than what the code carries: "saturated".

    Args:
      mean: posterior means [N, D].
      log_var: their log-variances [N, D].
      rate: mean rate in nats, or an upper bound on it.
      seed: of the draws.
      block: images at once; memory is 3 * block * N doubles.

    Returns:
      {"nats": {"mean", "se"}, "saturated": bool, "collapsed": bool, "aggregate_kl": rate - mean, an
      upper bound}; the standard error takes the N terms for independent. "collapsed" says that the
      posteriors of all N images, two or more, are alike: the code tells none of them apart.
    """
    mean, log_var = np.asarray(mean, np.float64), np.asarray(log_var, np.float64)
    z = mean + np.exp(log_var / 2) * np.random.default_rng(seed).standard_normal(mean.shape)
    precision, num = np.exp(-log_var), len(mean)
    constant = (mean**2 * precision + log_var).sum(1)
    terms = []
    for start in range(0, num, block):
        rows = np.arange(start, min(start + block, num))
        squares = z[rows] ** 2 @ precision.T - 2 * z[rows] @ (mean * precision).T
        log_q = -(squares + constant) / 2  # [block, N], up to D log(2 pi) / 2
        terms.append(log_q[rows - start, rows] - logsumexp(log_q, axis=1) + np.log(num))
    each = np.concatenate(terms)
    nats = mean_and_error(each)
    return {
        "nats": nats,
        "saturated": bool(max(rate, nats["mean"]) > np.log(num) - 2),
        "collapsed": bool(num > 1 and nats["mean"] < COLLAPSED and each.max() < COLLAPSED_ANY),
        "aggregate_kl": rate - nats["mean"],
    }
