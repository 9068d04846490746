"""What the latents carry."""

from collections.abc import Iterable

import numpy as np

ACTIVE_THRESHOLD = 0.01


def active_units(batches: Iterable[np.ndarray]) -> dict:
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
