"""A chain whose reverse kernels are flows, coded along it: the model of `vdp.diffusion.trajectory`.

The states are the latent z = y_0 and y_{1/T}, ..., y_1. As in `vdp.codec.chain` they are borrowed
forward in time, each right before the one under it is pushed; with a < b = a + 1/T,

    pop y_b ~ q(y_b|y_a) = N(rho y_a, 1 - rho^2),
    push y_a under r(y_a|y_b) = prod_d r(y_ad|y_a<d, y_b),

and in the end y_1 under N(0, I). The factors of r are Gaussians that the network gives one after
the other: D calls of it for a step, of the encoder too, so that both compute the same numbers.
"""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Float64, Int64

from vdp.codec.chain import Along
from vdp.codec.gaussians import Gaussians
from vdp.codec.latents import Latent, gaussians, on_grid, wide
from vdp.codec.programs import Program
from vdp.codec.stack import Stack
from vdp.diffusion import trajectory
from vdp.priors.trajectory import TrajectoryPrior
from vdp.types import Array, Params, Shape, Stats


def over(
    prior: TrajectoryPrior, params: Params, stats: Stats, shape: Shape,
    *, finest: float, lanes: int, bins: float,
) -> Latent:  # fmt: skip
    """The latent under the chain; arguments as of `vdp.codec.priors.over`."""
    chain = Chain(prior, params, stats, tuple(shape), finest=finest, lanes=lanes, bins=bins)
    of = lambda count: Along(chain=chain, count=count)
    return Latent(width=float(chain.width[0]), shape=chain.shape, prior=of)


class Chain:
    """z under the chain; arguments as of `over`."""

    def __init__(
        self, prior: TrajectoryPrior, params: Params, stats: Stats, shape: tuple[int, ...],
        *, finest: float, lanes: int, bins: float,
    ) -> None:  # fmt: skip
        self.shape, self.num_steps = shape, prior.num_steps
        made = lambda params: trajectory.kernel_steps(prior.kernels(params)[1], prior.num_steps)
        steps = jax.tree.map(wide, jax.jit(made)(params))
        self.shrink, self.spread = steps.shrink, steps.spread
        popped = np.concatenate([[finest], self.spread])
        pushed = np.concatenate([[finest], (self.spread * steps.left)[1:], [1.0]])
        self.width = np.minimum(popped, pushed) / bins
        gammas, gains = (np.asarray(x, np.float32) for x in (steps.gamma, steps.gain))

        def moments(
            params: Params, stats: Stats, index: Array, e: Array, y: Array
        ) -> tuple[Array, Array]:
            """Mean and log deviation of every number of e given those before it, and y_b."""
            gamma = jnp.broadcast_to(jnp.asarray(gammas)[index], len(y))
            v, log_scale = prior.kernels(params)[0](e, y, gamma)
            return -jnp.asarray(gains)[index] * v, log_scale

        self._moments = Program(moments, params, stats, lanes)

    def forward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> Gaussians:
        """q(y_b|y_a) for y_a at index/T."""
        mean = self.shrink[index] * self.width[index] * k
        return gaussians(mean, self.spread[index], self.width[index + 1], borrowed=True)

    def backward(self, index: int, k: Int64[np.ndarray, "b *s"]) -> "Autoregressive":
        """r(y_a|y_b), a = index/T, for y_b at (index + 1)/T."""
        y = on_grid(k, float(self.width[index + 1]))
        return Autoregressive(
            moments=lambda e: self._moments(e, y, index=index),
            origin=self.shrink[index] * wide(y),
            spread=float(self.spread[index]),
            width=float(self.width[index]),
        )

    def end(self, count: int) -> Gaussians:
        """p(y_1) = N(0, I)."""
        return gaussians(np.zeros((count, *self.shape)), 1.0, self.width[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoregressive:
    """Gaussians over whole numbers, each given those before it.

    Attributes:
      moments: standardised numbers e [B, *s] to (mean, log deviation) of each, which depend on
        those before it alone.
      origin: what e = 0 stands for, [B, *s].
      spread: what e = 1 stands for beyond it.
      width: of the grid.
    """

    moments: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    origin: Float64[np.ndarray, "b *s"]
    spread: float
    width: float

    def push(self, stack: Stack, value: Int64[np.ndarray, "b *s"]) -> None:
        """Pushes the whole numbers, the last first."""
        flat = value.reshape(len(value), -1)
        each = [(one, flat[:, i].copy()) for i, one in self._in_turn(lambda i, _: flat[:, i])]
        for one, numbers in reversed(each):
            one.push(stack, numbers)

    def pop(self, stack: Stack) -> Int64[np.ndarray, "b *s"]:
        """Pops them, the first first."""
        value = np.zeros((len(self.origin), self.origin[0].size), np.int64)

        def pop(index: int, one: Gaussians) -> Int64[np.ndarray, "b"]:
            value[:, index] = one.pop(stack)
            return value[:, index]

        for _ in self._in_turn(pop):
            pass
        return value.reshape(self.origin.shape)

    def _in_turn(
        self, settle: Callable[[int, Gaussians], Int64[np.ndarray, "b"]]
    ) -> Iterator[tuple[int, Gaussians]]:
        """(index, its Gaussians), each by the numbers that `settle` has given for those before."""
        origin = self.origin.reshape(len(self.origin), -1)
        e: Float32[np.ndarray, "b d"] = np.zeros(origin.shape, np.float32)
        for index in range(origin.shape[1]):
            mean, log_scale = (
                wide(x).reshape(origin.shape)[:, index]
                for x in self.moments(e.reshape(self.origin.shape))
            )
            one = gaussians(
                origin[:, index] + self.spread * mean, self.spread * np.exp(log_scale), self.width
            )
            found = self.width * settle(index, one) - origin[:, index]
            e[:, index] = (found / self.spread).astype(np.float32)
            yield index, one
