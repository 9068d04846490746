"""A diffusion prior of T steps, coded along its chain: the model of `vdp.diffusion.paths`.

The latents are y_0, y_(1/T), ..., y_1. Their joint distribution given z is the same in either
direction of time, q(y_1|z) prod q(y_s|y_t, z) = q(y_0|z) prod q(y_t|y_s), so their cost is the
path's weight. Forward in time every latent is borrowed right before the one under it is pushed
(Bit-Swap, Kingma F. et al. 2019): few initial bits are needed, however many steps there are. With
a < b = a + 1/T,

    pop y_b ~ q(y_b|y_a) = N(alpha_b/alpha_a y_a, sigma_b^2 k),   k = -expm1(gamma_a - gamma_b),
    push y_a under r(y_a|y_b),

and in the end y_1 under N(0, I). In the separate form z is pushed under N(y_0/alpha_0, e^gamma_0)
once y_0 is borrowed; in the merged form y_0/alpha_0 is the latent itself.
"""

import dataclasses
import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int64

from vdp.codec.bits_back import BitsBack, Coder
from vdp.codec.gaussians import Gaussians
from vdp.codec.latents import Latent, gaussians, on_grid, wide
from vdp.codec.programs import Program
from vdp.codec.stack import Stack
from vdp.diffusion import process, reverse
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import Array, Params, Shape, Stats


def over(
    prior: DiffusionPrior,
    params: Params,
    stats: Stats,
    shape: Shape,
    *,
    finest: float,
    lanes: int,
    bins: float,
) -> Latent:
    """The latent under the T-step model of a diffusion prior, its own `DiffusionModel.chain`.

    Args:
      prior: of either form.
      params: of the prior.
      stats: of the prior.
      shape: of one latent.
      finest: the smallest standard deviation of posteriors, in the separate form.
      lanes: the most images at once.
      bins: grid points per standard deviation of the narrowest distribution on each grid.
    """
    chain = Chain(prior, params, stats, tuple(shape), lanes=lanes, bins=bins)
    alpha_0, std_0 = chain.alpha[0], float(np.exp(0.5 * chain.gamma[0]))
    if prior.merged:
        return Latent(width=chain.width[0] / alpha_0, shape=chain.shape, prior=chain.of)
    width = min(finest, std_0) / bins
    z_given_y = lambda k: gaussians(chain.values(0, k) / np.float32(alpha_0), std_0, width)
    y_given_z = lambda k: gaussians(
        alpha_0 * on_grid(k, width), chain.sigma[0], chain.width[0], borrowed=True
    )
    separate = lambda count: BitsBack(
        prior=chain.of(count), likelihood=z_given_y, posterior=y_given_z
    )
    return Latent(width=width, shape=chain.shape, prior=separate)


class Chain:
    """y_0 under the T-step chain; arguments as of `over`."""

    def __init__(
        self, prior: DiffusionPrior, params: Params, stats: Stats, shape: tuple[int, ...],
        *, lanes: int, bins: float,
    ) -> None:  # fmt: skip
        self.shape = shape
        gammas, log_v = jax.jit(functools.partial(_made, prior, shape))(params, stats)
        moves = np.diff(gammas) > 0  # a table of betas begins with a step that does not, for free
        gammas = gammas[np.concatenate([[True], moves])]
        log_v = None if log_v is None else log_v[moves]
        self.num_steps = len(gammas) - 1
        self.gamma = wide(gammas)
        self.alpha, self.sigma = wide(process.alpha(gammas)), wide(process.sigma(gammas))
        kept = np.sqrt(-np.expm1(-np.diff(self.gamma)))
        self._forward_std, backward = self.sigma[1:] * kept, self.sigma[:-1] * kept
        widths = None if log_v is None else jnp.exp(0.5 * reverse.whole(log_v, shape))
        if widths is not None:
            narrowest = wide(widths).reshape(self.num_steps, -1).min(axis=1)
            backward = backward * narrowest
        popped = np.concatenate([self.sigma[:1], self._forward_std])
        pushed = np.concatenate([backward, [1.0]])
        self.width = np.minimum(popped, pushed) / bins

        def step(params: Params, stats: Stats, index: Array, y: Array) -> tuple[Array, Array]:
            """Mean and deviation of r(y_a|y_b), b = (index + 1)/T."""
            gamma_b, gamma_a = (jnp.broadcast_to(gammas[i], len(y)) for i in (index + 1, index))
            eps_hat = prior.eps_fn(params)(y, gamma_b)
            mean, std = process.reverse_moments(y, eps_hat, gamma_b, gamma_a)
            std = std if widths is None else std * widths[index][None]
            return mean, std

        self._step = Program(step, params, stats, lanes)

    def of(self, count: int) -> Coder:
        """The distribution of y_0 of as many images."""
        return Along(chain=self, count=count)

    def values(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Any:
        """y at index/T, float32."""
        return on_grid(k, float(self.width[index]))

    def end(self, count: int) -> Gaussians:
        """p(y_1) = N(0, I)."""
        return gaussians(np.zeros((count, *self.shape)), 1.0, self.width[-1])

    def forward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Gaussians:
        """q(y_b|y_a) for y_a at index/T."""
        mean = self.alpha[index + 1] / self.alpha[index] * self.width[index] * k
        std = self._forward_std[index]
        return gaussians(mean, std, self.width[index + 1], borrowed=True)

    def backward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Gaussians:
        """r(y_a|y_b), a = index/T, for y_b at (index + 1)/T."""
        mean, std = self._step(self.values(index + 1, k), index=index)
        return gaussians(mean, std, self.width[index])


class Steps(Protocol):
    """The distributions along a chain of T steps, over whole numbers."""

    num_steps: int

    def forward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Coder:
        """q(y_b|y_a), b = (index + 1)/T, given y_a."""
        ...

    def backward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Coder:
        """r(y_a|y_b) given y_b."""
        ...

    def end(self, count: int) -> Coder:
        """p(y_1) of a number of images."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Along:
    """y_0 of a number of images under a chain; a loop in place of nested `BitsBack`."""

    chain: Steps
    count: int

    def push(self, stack: Stack, value: Int64[np.ndarray, "b *s"]) -> None:
        """Pushes the whole numbers of y_0."""
        for index in range(self.chain.num_steps):
            later = self.chain.forward(index, value).pop(stack)
            self.chain.backward(index, later).push(stack, value)
            value = later
        self.chain.end(self.count).push(stack, value)

    def pop(self, stack: Stack) -> Int64[np.ndarray, "b *s"]:
        """Pops them."""
        value = self.chain.end(self.count).pop(stack)
        for index in reversed(range(self.chain.num_steps)):
            earlier = self.chain.backward(index, value).pop(stack)
            self.chain.forward(index, earlier).push(stack, value)
            value = earlier
        return value


def _made(
    prior: DiffusionPrior, shape: tuple[int, ...], params: Params, stats: Stats
) -> tuple[Float[Array, "n"], Float[Array, "t ..."] | None]:
    """The gammas that the chain stops at, from y_0 to y_1, and log v of the steps between."""
    chain = prior.chain(params, stats, shape)
    times = jnp.arange(prior.num_steps + 1) / prior.num_steps
    return jnp.asarray(chain.gamma(times), jnp.float32), chain.log_v
