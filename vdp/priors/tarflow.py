"""A transformer autoregressive flow over the tokens of a latent (TarFlow, Zhai et al. 2024)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.errors import UserError
from vdp.priors.affine import Affine
from vdp.priors.autoregressive import AutoregressivePrior, Flows
from vdp.settings.rules import Size
from vdp.types import Array, Params, Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class TarFlowPrior(AutoregressivePrior):
    """Steps e_i = (z_i - m_i(z_<i)) exp(-s_i(z_<i)) over tokens z_i, reversed between them.

    A latent [H, W, C] is cut into squares, row by row; one of another shape, or with all numbers at
    one place, is cut as it is flattened. The density takes one pass of every network. Sampling
    takes one token after the other, whose keys and values are kept: it costs about as much as one
    pass, in N small steps.

    Attributes:
      net: a causal net(tokens [B, N, T]) -> (m, s), each [B, N, T], with a field `decode` as of
        `vdp.nets.CausalTransformer`; copied for every step.
      num_flows: number of steps.
      patch_size: side of the squares of a latent [H, W, C] that are a token.
      token_size: numbers in a token of any other latent. Those of one token do not depend on each
        other within a step.
    """

    num_flows: Flows = 4
    patch_size: Size = 1
    token_size: Size = 1

    def __post_init__(self):
        super().__post_init__()
        if not hasattr(self.net, "decode"):
            raise UserError(
                f"{type(self.net).__name__} has no field `decode`, by which samples are drawn "
                "token by token: choose CausalTransformer, or give it one"
            )

    def _grid(self, z_shape: Shape) -> tuple[int, int] | None:
        """Rows and columns of squares; None for a latent without space."""
        if len(z_shape) != 3 or z_shape[0] * z_shape[1] == 1:
            return None
        height, width, _ = z_shape
        side = self.patch_size
        if height % side or width % side:
            raise UserError(
                f"patch_size {side} does not divide the sides of a latent of {height}x{width}: "
                "choose one that does, such as 1"
            )
        return height // side, width // side

    def _sequence(self, z: Float[Array, "b *s"]) -> Float[Array, "b n t"]:
        grid, side = self._grid(z.shape[1:]), self.patch_size
        if grid:
            squares = z.reshape(len(z), grid[0], side, grid[1], side, z.shape[-1]).swapaxes(2, 3)
            return squares.reshape(len(z), grid[0] * grid[1], -1)
        if z[0].size % self.token_size:
            raise UserError(
                f"token_size {self.token_size} does not divide the {z[0].size} numbers of a "
                "latent: choose one that does, such as 1"
            )
        return z.reshape(len(z), -1, self.token_size)

    def _latents(self, sequence: Float[Array, "b n t"], z_shape: Shape) -> Float[Array, "b *s"]:
        if grid := self._grid(z_shape):
            side = self.patch_size
            squares = sequence.reshape(-1, *grid, side, side, z_shape[-1])
            sequence = squares.swapaxes(2, 3)
        return sequence.reshape(-1, *z_shape)

    def _map(self, params: Params, index: int, sequence: Float[Array, "b n t"]) -> Affine:
        moments: Any = self.net.apply({"params": params[f"step_{index}"]}, sequence)
        return Affine(*moments)

    def _invert(
        self, params: Params, index: int, e: Float[Array, "b n t"]
    ) -> Float[Array, "b n t"]:
        """Token by token, as the network decodes: the moments of each follow from those before."""
        net = self.net.clone(decode=True)
        shapes = jax.eval_shape(net.init, jax.random.key(0), e)["cache"]
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def one_token(before: tuple[Any, Array], noise: Array) -> tuple[tuple[Any, Array], Array]:
            cache, token = before
            variables = {"params": params[f"step_{index}"], "cache": cache}
            moments, kept = net.apply(variables, token, mutable=["cache"])
            token = Affine(*moments).inverse(noise)
            return (kept["cache"], token), token

        noises = e.swapaxes(0, 1)[:, :, None]  # [N, B, 1, T]
        _, tokens = jax.lax.scan(one_token, (empty, jnp.zeros_like(noises[0])), noises)
        return tokens[:, :, 0].swapaxes(0, 1)


make = TarFlowPrior
