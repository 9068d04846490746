"""A normalising flow: affine autoregressive steps over MADE networks (MAF, Papamakarios 2017)."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.dists import standard_normal, sum_nonbatch
from vdp.errors import UserError
from vdp.nets import stateful
from vdp.priors.density import DensityPrior
from vdp.priors.noise import BaseNoise
from vdp.settings.rules import Depth
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPrior(DensityPrior):
    """Steps e_i = (z_i - m_i(z_<i)) exp(-s_i(z_<i)), the order reversed between them.

    log p(z) = log N(e; 0, I) - sum of all s: one pass of every network. Sampling solves for one
    dimension after another.

    Attributes:
      net: an autoregressive net(z [B, D]) -> (m, s), each [B, D]; copied for every step.
      num_flows: number of steps.
    """

    net: nn.Module
    num_flows: Depth = 3

    def __post_init__(self):
        if self.num_flows < 1:
            raise UserError(f"num_flows must be at least 1, not {self.num_flows}")

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"step_0": ..., "step_1": ..., ...}; no stats."""
        z = jnp.zeros((1, *z_shape)).reshape(1, -1)
        keys = jax.random.split(rng, self.num_flows)
        params = {
            f"step_{i}": stateful.init_stateless(self.net, key, z, role="a step of a flow")
            for i, key in enumerate(keys)
        }
        return params, {}

    def _moments(
        self, params: Params, index: int, z: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Shift and log-scale of one step at its input."""
        moments: Any = self.net.apply({"params": params[f"step_{index}"]}, z)
        return moments

    def forward(
        self, params: Params, z: Float[Array, "b *s"]
    ) -> tuple[Float[Array, "b *s"], Float32[Array, "b"]]:
        """Carries z [B, *z_shape] to the flow's noise e [B, *z_shape] and log |de/dz| [B]."""
        e, log_det = z.reshape(len(z), -1), jnp.zeros(len(z))
        for index in range(self.num_flows):
            shift, log_scale = self._moments(params, index, e)
            e = ((e - shift) * jnp.exp(-log_scale))[:, ::-1]
            log_det = log_det - sum_nonbatch(log_scale)
        return e.reshape(z.shape), log_det

    def inverse(self, params: Params, e: Float[Array, "b *s"]) -> Float[Array, "b *s"]:
        """Carries noise e [B, *z_shape] to z: D passes of every network, after which z is exact.

        Pass n computes dimension n from those before it, which the passes before have settled.
        """
        z, dims = e.reshape(len(e), -1), e[0].size
        for index in reversed(range(self.num_flows)):
            noise = z[:, ::-1]

            def one_pass(
                _: Array | int, guess: Array, noise: Array = noise, index: int = index
            ) -> Array:
                shift, log_scale = self._moments(params, index, guess)
                return noise * jnp.exp(log_scale) + shift

            z = jax.lax.fori_loop(0, dims, one_pass, jnp.zeros_like(noise))
        return z.reshape(e.shape)

    def log_prob(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        encode: Encode | None = None,
    ) -> Float32[Array, "b"]:
        """Log density log p(z), [B]."""
        e, log_det = self.forward(params, z)
        return standard_normal(e).log_prob(e) + log_det

    def sample(
        self,
        params: Params,
        stats: Stats,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        temperature: float = 1.0,
        noise: Noise = None,
    ) -> Float[Array, "{num} *s"]:
        """Draws z [num, *z_shape]; `temperature` is a factor on the base's standard deviation."""
        z = self._noise_of_sample(BaseNoise, noise, rng, num, z_shape).z
        return self.inverse(params, temperature * z)


make = FlowPrior
