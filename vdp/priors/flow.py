"""A normalising flow: autoregressive steps over MADE networks (MAF, Papamakarios 2017)."""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.priors.affine import Affine
from vdp.priors.autoregressive import AutoregressivePrior
from vdp.priors.spline import Spline, num_raw
from vdp.settings.rules import AtLeast, OneOf, Positive
from vdp.types import Array, Params, Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPrior(AutoregressivePrior):
    """Steps e_i = f(z_i; z_<i), the order of the dimensions reversed between them.

    Affine steps are (z_i - m_i(z_<i)) exp(-s_i(z_<i)); a spline step is an increasing map
    within the bound, and the identity outside (neural spline flows, Durkan et al. 2019). The
    density takes one pass of every network, sampling one pass for every dimension.

    Attributes:
      net: an autoregressive net(z [B, D]) -> (m, s), each [B, D], or with splines of K bins
        net(z, 3K - 1) -> [B, D, 3K - 1]; copied for every step.
      num_flows: number of steps.
      transform: "affine" or "spline".
      num_bins: K of a spline.
      tail_bound: B of a spline, which maps [-B, B] to itself.
    """

    transform: Annotated[str, OneOf("affine", "spline")] = "affine"
    num_bins: Annotated[int, AtLeast(2, most=256)] = 8
    tail_bound: Positive = 5.0

    def _sequence(self, z: Float[Array, "b *s"]) -> Float[Array, "b d"]:
        return z.reshape(len(z), -1)

    def _latents(self, sequence: Float[Array, "b d"], z_shape: Shape) -> Float[Array, "b *s"]:
        return sequence.reshape(-1, *z_shape)

    def _inputs(self, sequence: Float[Array, "b d"]) -> tuple:
        if self.transform == "affine":
            return (sequence,)
        return sequence, num_raw(self.num_bins)

    def _map(self, params: Params, index: int, sequence: Float[Array, "b d"]) -> Affine | Spline:
        out: Any = self.net.apply({"params": params[f"step_{index}"]}, *self._inputs(sequence))
        return Affine(*out) if self.transform == "affine" else Spline.of(out, self.tail_bound)

    def _invert(self, params: Params, index: int, e: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """D passes of the network: pass n computes dimension n from those settled before it.

        What is not settled stays 0: it could overflow, and 0 times infinity is no number.
        """

        def one_pass(n: Array | int, guess: Array) -> Array:
            found = self._map(params, index, guess).inverse(e)
            return jnp.where(jnp.arange(e.shape[1]) <= n, found, 0.0)

        return jax.lax.fori_loop(0, e.shape[1], one_pass, jnp.zeros_like(e))


make = FlowPrior
