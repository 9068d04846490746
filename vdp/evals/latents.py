"""What the latents carry."""

import numpy as np

ACTIVE_THRESHOLD = 0.01


def active_units(means) -> dict[str, float | int]:
    """Latent dimensions whose posterior mean varies over the data (Burda et al. 2015).

    For a flat VAE the mean mu(x) is deterministic, so A = var_n(mu_n, ddof=1) > 0.01 needs no
    within-image correction.

    Args:
      means: posterior means [N, ...].
    """
    means = np.asarray(means, np.float64).reshape(len(means), -1)
    active = int((means.var(axis=0, ddof=1) > ACTIVE_THRESHOLD).sum()) if len(means) > 1 else 0
    return {"active": active, "total": means.shape[1], "share": active / means.shape[1]}
