"""A normalising flow over a latent, coded by local bits-back (Ho, Lohn & Abbeel 2019).

A flow e = f(z) has an exact density, but no distribution over the points of a grid. Noise of a
small deviation sigma makes one: with J = df/dz at z,

    pop e ~ N(f(z), sigma^2 J J^T),   push z under N(f^-1(e), sigma^2 I),   push e under N(0, I).

Where f is straight over a few sigma, the first two cost -log |det J| together, whatever e was
popped: in all -log N(f(z); 0, I) - log |det J|, which is -log p(z).
"""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float, Float64, Int64

from vdp.codec.bits_back import BitsBack, Coder
from vdp.codec.gaussians import FINEST, Gaussians
from vdp.codec.latents import Latent, gaussians, on_grid, wide
from vdp.codec.programs import Program
from vdp.codec.stack import Stack
from vdp.priors.autoregressive import AutoregressivePrior
from vdp.types import Array, Params, Shape, Stats

STRAIGHT = 256  # sigma is this part of the smallest deviation of posteriors
TRIED = 256  # draws of the prior that its finest direction is looked for at
RARE = 0.01  # of them and their directions may be finer than the grid of e


def over(
    prior: AutoregressivePrior, params: Params, stats: Stats, shape: Shape,
    *, finest: float, lanes: int, bins: float,
) -> Latent:  # fmt: skip
    """The latent under a flow; arguments as of `vdp.codec.priors.over`."""
    shape, sigma = tuple(shape), finest / STRAIGHT
    width = sigma / bins
    size = int(np.prod(shape))

    def noise(params: Params, stats: Stats, z: Float[Array, "b d"]) -> tuple[Array, Array]:
        one = lambda z: prior.forward(params, z.reshape(1, *shape))[0].reshape(-1)
        return jax.vmap(one)(z), jax.vmap(jax.jacfwd(one))(z)

    def latent(params: Params, stats: Stats, e: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return prior.inverse(params, e.reshape(-1, *shape)).reshape(len(e), -1)

    to_noise, to_latent = (Program(f, params, stats, lanes) for f in (noise, latent))

    def local(z: Float[np.ndarray, "b d"]) -> tuple[Float64[np.ndarray, "b d"], np.ndarray]:
        """(f(z), L) with L L^T = sigma^2 J J^T, lower triangular."""
        mean, jacobian = map(wide, to_noise(z))
        # J^T = Q R: no product of J with itself, whose small directions would be lost
        upper = np.linalg.qr(jacobian.swapaxes(1, 2), mode="r")
        signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0)
        return mean, sigma * (signs[:, :, None] * upper).swapaxes(1, 2)

    rng, deviations = np.random.Generator(np.random.PCG64(0)), []
    for start in range(0, TRIED, lanes):
        e = rng.standard_normal((min(lanes, TRIED - start), size)).astype(np.float32)
        deviations.append(np.diagonal(local(to_latent(e))[1], axis1=1, axis2=2))
    finer = float(np.quantile(np.concatenate(deviations), RARE)) / bins
    step = min(max(finer, 2 / FINEST), 1 / bins)  # of the grid of e

    def posterior(k: Int64[np.ndarray, "b *s"]) -> Coder:
        mean, factor = local(on_grid(k.reshape(len(k), -1), width))
        return Triangular(mean=mean / step, factor=factor / step)

    def likelihood(k: Int64[np.ndarray, "b d"]) -> Gaussians:
        z = to_latent(on_grid(k, step))
        return gaussians(z.reshape(-1, *shape), sigma, width)

    def of(count: int) -> Coder:
        base = gaussians(np.zeros((count, size)), 1.0, step)
        return BitsBack(prior=base, likelihood=likelihood, posterior=posterior)

    return Latent(width=width, shape=shape, prior=of)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triangular:
    """Gaussians N(mean, L L^T) over whole numbers, borrowed: one number given those before it.

    Attributes:
      mean: in bins, [B, D].
      factor: L in bins, lower triangular with a positive diagonal, [B, D, D].
    """

    mean: Float64[np.ndarray, "b d"]
    factor: Float64[np.ndarray, "b d d"]

    def push(self, stack: Stack, value: Int64[np.ndarray, "b d"]) -> None:
        """Pushes the whole numbers, the last first."""
        given, each = np.zeros(self.mean.shape), []
        for index in range(self.mean.shape[1]):
            each.append(self._next(given, index))
            given[:, index] = (value[:, index] - each[-1].mean) / each[-1].std
        for index in reversed(range(self.mean.shape[1])):
            each[index].push(stack, value[:, index])

    def pop(self, stack: Stack) -> Int64[np.ndarray, "b d"]:
        """Pops them, the first first."""
        given, value = np.zeros(self.mean.shape), np.zeros(self.mean.shape, np.int64)
        for index in range(self.mean.shape[1]):
            one = self._next(given, index)
            value[:, index] = one.pop(stack)
            given[:, index] = (value[:, index] - one.mean) / one.std
        return value

    def _next(self, given: Float64[np.ndarray, "b d"], index: int) -> Gaussians:
        """Number `index`, by the standardised numbers before it."""
        before = np.einsum("bd,bd->b", self.factor[:, index, :index], given[:, :index])
        return Gaussians(
            mean=self.mean[:, index] + before, std=self.factor[:, index, index], borrowed=True
        )
