"""Log densities, divergences and samples; all sums in float32, all results [B] in nats.

Observations and noise may be numpy's; what is returned is jax's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.nn import softplus
from jax.scipy.special import log_ndtr
from jaxtyping import Float, Float32, Num

from vdp.types import AnyArray, Array

LOG_2PI = float(np.log(2 * np.pi))
TAIL = -15.0  # deviations below the mean, from where on a normal tail is its asymptotic series
Value = Float[AnyArray, "*#s"] | float  # of an elementwise function


def sum_nonbatch(x: Num[AnyArray, "b *s"]) -> Float32[Array, "b"]:
    """Sums [B, ...] to [B] in float32."""
    return jnp.sum(x.astype(jnp.float32).reshape(x.shape[0], -1), axis=-1)


@struct.dataclass
class Normal:
    """A diagonal Gaussian over [B, ...] with mean and log-variance of one shape."""

    mean: Float[Array, "b *s"]
    log_var: Float[Array, "b *s"]

    def sample(self, eps: Float[AnyArray, "b *s"]) -> Float[Array, "b *s"]:
        """Returns mean + std * eps for standard normal `eps` of the mean's shape."""
        return self.mean + jnp.exp(0.5 * self.log_var) * eps

    def log_prob(self, z: Float[AnyArray, "#b *s"]) -> Float32[Array, "b"]:
        """Log density log N(z; mean, exp(log_var)) of z [B, ...], or [1, ...]: [B]."""
        squares = jnp.square(z - self.mean) * jnp.exp(-self.log_var)
        return -0.5 * sum_nonbatch(LOG_2PI + self.log_var + squares)

    def entropy(self) -> Float32[Array, "b"]:
        """The entropy 1/2 sum(1 + log 2 pi + log_var), [B]."""
        return 0.5 * sum_nonbatch(1 + LOG_2PI + self.log_var)

    def kl(self, other: "Normal") -> Float32[Array, "b"]:
        """The exact divergence KL(self || other), [B]."""
        return sum_nonbatch(self.kl_each(other))

    def kl_each(self, other: "Normal") -> Float32[Array, "b *s"]:
        """The divergence of every number by itself, [B, ...]."""
        variance_ratio = jnp.exp(self.log_var - other.log_var)
        squares = jnp.square(self.mean - other.mean) * jnp.exp(-other.log_var)
        log_ratio = other.log_var - self.log_var
        return 0.5 * (variance_ratio + squares - 1 + log_ratio)


def standard_normal(like: Float[AnyArray, "b *s"]) -> Normal:
    """The standard normal N(0, I) over the shape of `like`, [B, ...]."""
    return Normal(jnp.zeros_like(like), jnp.zeros_like(like))


def mixture_log_prob(
    log_weights: Float[Array, "k"], components: Normal, z: Float[AnyArray, "b *s"]
) -> Float32[Array, "b"]:
    """Log density log sum_k w_k N_k(z) of a mixture, its components joint over all dimensions: [B].

    Args:
      log_weights: log w_k, [K], normalised.
      components: K diagonal Gaussians over the shape of one z.
      z: where the density is looked at, [B, ...].
    """
    each = jax.vmap(lambda one: components.log_prob(one[None]))(z)
    return jax.nn.logsumexp(log_weights[None] + each, axis=1)


def bernoulli_log_prob(logits: Float[Array, "*s"], x: Num[AnyArray, "*s"]) -> Float[Array, "*s"]:
    """Log-probability of x in {0, 1}, elementwise: -softplus(-l) for 1, -softplus(l) for 0."""
    return jnp.where(x > 0, -softplus(-logits), -softplus(logits))


def discretized_logistic_log_prob(
    x: Num[AnyArray, "*#s"], mean: Value, log_scale: Value, levels: int
) -> Float32[Array, "*s"]:
    """Log of the mass a logistic puts on the bin of each level, elementwise.

    Level x sits at 2x/(levels-1) - 1 with a bin of width 2/(levels-1); the two edge bins are open.
    With a, b the standardised bin edges, the mass is sigmoid(a) - sigmoid(b), computed as
    -softplus(-a) - softplus(b) + log(-expm1(b - a)) without clamp (after PixelCNN++, Salimans et
    al. 2017, whose fallback for small masses this form does not need).

    Args:
      x: levels 0..levels - 1, of any type and shape; the other two broadcast against it.
      mean: location of the logistic on [-1, 1].
      log_scale: log of its scale there.
      levels: number of levels of the image.
    """
    _, a, b, width = _bin(x, mean, log_scale, levels)
    inside = -softplus(-a) - softplus(b) + jnp.log(-jnp.expm1(-width))
    return _open_at_the_ends(x, levels, -softplus(-a), inside, -softplus(b))


def _bin(
    x: Num[AnyArray, "*#s"], mean: Value, log_scale: Value, levels: int
) -> tuple[Float[AnyArray, "*#s"], ...]:
    """(its middle less the mean; standardised: its upper edge, its lower edge, its width)."""
    half = 1.0 / (levels - 1)
    centred = 2.0 * half * x.astype(jnp.float32) - 1.0 - mean
    inverse_scale = jnp.exp(-log_scale)
    upper, lower = (centred + half) * inverse_scale, (centred - half) * inverse_scale
    return centred, upper, lower, 2 * half * inverse_scale


def _open_at_the_ends(
    x: Num[AnyArray, "*#s"],
    levels: int,
    lowest: Float[Array, "*s"],
    inside: Float[Array, "*s"],
    highest: Float[Array, "*s"],
) -> Float[Array, "*s"]:
    return jnp.where(x == 0, lowest, jnp.where(x == levels - 1, highest, inside))


def normal_log_cdf(x: Float32[AnyArray, "*s"]) -> Float32[Array, "*s"]:
    """log Phi(x) of the standard normal, with a gradient that keeps its digits far below 0.

    There that of `log_ndtr` is the exponential of a difference of two numbers near x^2 / 2, and the
    asymptotic series takes its place (Abramowitz & Stegun 1964, 26.2.12).
    """
    far = x < TAIL
    tail = jnp.where(far, x, TAIL)
    r = 1 / tail**2
    series = jnp.log1p(-r * (1 - 3 * r * (1 - 5 * r)))
    log_tail = -0.5 * (tail**2 + LOG_2PI) - jnp.log(-tail) + series
    return jnp.where(far, log_tail, log_ndtr(jnp.where(far, TAIL, x)))


def discretized_normal_log_prob(
    x: Num[AnyArray, "*#s"], mean: Value, log_scale: Value, levels: int
) -> Float32[Array, "*s"]:
    """Log of the mass a Gaussian puts on the bin of each level (DDPM, Ho et al. 2020, Eq. 13).

    The bins are those of `discretized_logistic_log_prob`. A bin above the mean is mirrored to below
    it, where log Phi keeps its precision.

    Args:
      x: levels 0..levels - 1, of any type and shape; the other two broadcast against it.
      mean: of the Gaussian, on [-1, 1].
      log_scale: log of its standard deviation there.
      levels: number of levels of the image.
    """
    centred, a, b, _ = _bin(x, mean, log_scale, levels)
    above = centred > 0
    upper, lower = jnp.where(above, -b, a), jnp.where(above, -a, b)
    log_upper = normal_log_cdf(upper)
    inside = log_upper + jnp.log(-jnp.expm1(normal_log_cdf(lower) - log_upper))
    return _open_at_the_ends(x, levels, normal_log_cdf(a), inside, normal_log_cdf(-b))


def discretized_mean(
    cdf: Callable[[Array], Array], mean: Float[Array, "*s"], log_scale: Value, levels: int
) -> Float[Array, "*s"]:
    """Expected level divided by levels-1, in [0, 1]: sum over edges of P(x above the edge).

    Args:
      cdf: of the symmetric distribution that is cut into bins, at location 0 and scale 1.
      mean: its location on [-1, 1].
      log_scale: log of its scale there.
      levels: number of levels of the image.
    """
    half = 1.0 / (levels - 1)
    inverse_scale = jnp.exp(-log_scale)

    def add(total: Array, level: Array) -> tuple[Array, None]:
        edge = 2.0 * half * level - 1.0 - half
        return total + cdf((mean - edge) * inverse_scale), None

    edges = jnp.arange(1, levels, dtype=jnp.float32)
    total, _ = jax.lax.scan(add, jnp.zeros_like(mean), edges)
    return total / (levels - 1)
