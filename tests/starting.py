"""Parameters of what is tested, without compiling their start."""

import jax
import jax.numpy as jnp
import numpy as np

from vdp.runtime import uncompiled


def started(component, *args, **options):
    """What `component.init` of these arguments returns."""
    return jax.tree.map(jnp.asarray, uncompiled.evaluated(component.init)(*args, **options))


def moved(params, *, seed=1, scale=0.1):
    """Every parameter moved at random, so that no zero of the start hides a missing gradient."""
    rng = np.random.default_rng(seed)
    by = lambda leaf: (scale * rng.standard_normal(leaf.shape)).astype(leaf.dtype)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf + by(leaf)), params)
