"""Monotonic rational-quadratic splines with linear tails (Durkan et al. 2019, section 3.1)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus
from jaxtyping import Float

from vdp.types import Array

MIN_SHARE = 1e-3  # of the interval, for a bin's width and height; as the paper, like MIN_SLOPE
MIN_SLOPE = 1e-3
SLOPE_ONE = float(np.log(np.expm1(1 - MIN_SLOPE)))  # softplus of it is 1 - MIN_SLOPE


def num_raw(num_bins: int) -> int:
    """How many numbers make a spline of K bins: 3K - 1."""
    return 3 * num_bins - 1


class _Bin(NamedTuple):
    """The bin that a number lies in: its lower corner, its sides, the slopes at its ends."""

    x: Array
    y: Array
    width: Array
    height: Array
    slope: Array
    next_slope: Array


class Spline(NamedTuple):
    """An increasing map of [-B, B] to itself through K + 1 knots, the identity outside.

    At the bounds its slope is 1: map and derivative are continuous everywhere.

    Attributes:
      x: [..., K + 1], knots, from -B to B.
      y: [..., K + 1], where they go, from -B to B.
      slope: [..., K + 1], the derivatives there, 1 at both ends.
    """

    x: Float[Array, "*s k"]
    y: Float[Array, "*s k"]
    slope: Float[Array, "*s k"]

    @classmethod
    def of(cls, raw: Float[Array, "*s n"], bound: float) -> "Spline":
        """The spline of any 3K - 1 numbers; of zeros it is the identity.

        Args:
          raw: [..., 3K - 1]: K for the widths of the bins, K for their heights, K - 1 for slopes.
          bound: B.
        """
        num_bins = (raw.shape[-1] + 1) // 3
        widths, heights, slopes = jnp.split(raw, (num_bins, 2 * num_bins), axis=-1)
        one = jnp.ones_like(slopes[..., :1])
        inner = MIN_SLOPE + softplus(slopes + SLOPE_ONE)
        slope = jnp.concatenate([one, inner, one], axis=-1)
        return cls(_knots(widths, bound), _knots(heights, bound), slope)

    def forward(self, z: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
        """Carries z to e; beside it log dz/de, elementwise (their Eqs. 4 and 5)."""
        inside, z_in, at = self._bin(z, self.x)
        mean = at.height / at.width
        share = jnp.clip((z_in - at.x) / at.width, 0.0, 1.0)
        across = share * (1 - share)
        below = mean + (at.slope + at.next_slope - 2 * mean) * across
        e = at.y + at.height * (mean * share**2 + at.slope * across) / below
        rise = at.next_slope * share**2 + 2 * mean * across + at.slope * (1 - share) ** 2
        log_stretch = 2 * jnp.log(below) - 2 * jnp.log(mean) - jnp.log(rise)
        return jnp.where(inside, e, z), jnp.where(inside, log_stretch, 0.0)

    def inverse(self, e: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Carries e to z, the root of a quadratic that lies in the bin (their Eqs. 6 to 8)."""
        inside, e_in, at = self._bin(e, self.y)
        mean = at.height / at.width
        above = (e_in - at.y) * (at.slope + at.next_slope - 2 * mean)
        a = at.height * (mean - at.slope) + above
        b = at.height * at.slope - above
        c = -mean * (e_in - at.y)
        root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))
        minus = b < 0  # of the two forms of the root the one that subtracts nothing; a > 0 there
        share = jnp.where(minus, root - b, -2 * c) / jnp.where(minus, 2 * a, b + root)
        share = jnp.clip(share, 0.0, 1.0)
        return jnp.where(inside, at.x + at.width * share, e)

    def _bin(self, value: Array, knots: Array) -> tuple[Array, Array, _Bin]:
        """(whether a value lies inside the bounds, the value clipped to them, the bin of that).

        Results for values outside are dropped; they are clipped so that gradients stay finite.
        """
        low, high = knots[..., 0], knots[..., -1]
        clipped = jnp.clip(value, low, high)
        passed = jnp.sum(clipped[..., None] >= knots[..., 1:-1], axis=-1, dtype=jnp.int32)
        bins = jnp.arange(knots.shape[-1] - 1).reshape((1,) * value.ndim + (-1,))
        own = passed[..., None] == bins  # a masked sum: cheaper to differentiate than a gather

        def at(values: Array) -> Array:
            return jnp.sum(jnp.where(own, values, 0.0), axis=-1)

        found = _Bin(
            x=at(self.x[..., :-1]),
            y=at(self.y[..., :-1]),
            width=at(jnp.diff(self.x, axis=-1)),
            height=at(jnp.diff(self.y, axis=-1)),
            slope=at(self.slope[..., :-1]),
            next_slope=at(self.slope[..., 1:]),
        )
        return (value > low) & (value < high), clipped, found


def _knots(raw: Float[Array, "*s k"], bound: float) -> Float[Array, "*s n"]:
    """K + 1 knots from -B to B whose distances are a softmax of K numbers."""
    num_bins = raw.shape[-1]
    shares = MIN_SHARE + (1 - MIN_SHARE * num_bins) * jax.nn.softmax(raw, axis=-1)
    inner = bound * (2 * jnp.cumsum(shares, axis=-1)[..., :-1] - 1)
    end = jnp.full_like(raw[..., :1], bound)
    return jnp.concatenate([-end, inner, end], axis=-1)
