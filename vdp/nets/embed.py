"""Embeddings of scalars."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vdp.types import Array

LONGEST = 10_000.0  # frequencies fall from 1 to its inverse (Vaswani et al. 2017, as used by DDPM)


def fourier(x: Float[Array, "*s c"], exponents: tuple[int, ...]) -> Float[Array, "*s _"]:
    """Appends sin and cos of 2^n 2 pi x for every n to the channels of x (VDM, appendix C)."""
    angles = [2.0**n * 2 * np.pi * x.astype(jnp.float32) for n in exponents]
    return jnp.concatenate([x, *map(jnp.sin, angles), *map(jnp.cos, angles)], axis=-1)


def sinusoidal(
    time: Float[Array, "b"], width: int, *, spacing: str = "closed"
) -> Float[Array, "b {width}"]:
    """Sines and cosines of times at geometric frequencies: [B, width].

    Args:
      time: [B], in [0, 1000].
      width: of the embedding, even.
      spacing: "closed"; or "open", where they end one step before 1/LONGEST (guided diffusion).
    """
    half = width // 2
    last = half if spacing == "open" else max(half - 1, 1)
    frequencies = np.exp(-np.log(LONGEST) * np.arange(half) / last).astype(np.float32)
    angles = time.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
