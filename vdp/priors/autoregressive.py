"""What autoregressive flows share: steps over a sequence, its order reversed between them."""

import dataclasses
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.dists import standard_normal, sum_nonbatch
from vdp.nets import stateful
from vdp.priors.affine import Affine
from vdp.priors.density import DensityPrior
from vdp.priors.noise import BaseNoise
from vdp.priors.spline import Spline
from vdp.settings.rules import AtLeast, Checked
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Shape, Stats

Flows = Annotated[int, AtLeast(1, most=1000)]  # each is compiled


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoregressivePrior(DensityPrior, Checked):
    """Base of flows whose steps map entry i of a sequence as the entries before it determine.

    With e = f(z) the flow's noise, log p(z) = log N(e; 0, I) + log |de/dz|. The Jacobian of a step
    is triangular: its log-determinant is the sum of the elementwise log-derivatives, known after
    one pass of its network. The inverse has to go through the sequence in order.

    Attributes:
      net: the network of a step; copied for every one.
      num_flows: number of steps.
    """

    net: nn.Module
    num_flows: Flows = 3

    def _sequence(self, z: Float[Array, "b *s"]) -> Float[Array, "b n *t"]:
        """The latents z as a sequence: [B, N, ...]."""
        raise NotImplementedError

    def _latents(self, sequence: Float[Array, "b n *t"], z_shape: Shape) -> Float[Array, "b *s"]:
        """The latents [B, *z_shape] of their sequence."""
        raise NotImplementedError

    def _inputs(self, sequence: Float[Array, "b n *t"]) -> tuple:
        """The arguments of the network of a step."""
        return (sequence,)

    def _map(self, params: Params, index: int, sequence: Float[Array, "b n *t"]) -> Affine | Spline:
        """The elementwise map of step `index` at its input."""
        raise NotImplementedError

    def _invert(
        self, params: Params, index: int, e: Float[Array, "b n *t"]
    ) -> Float[Array, "b n *t"]:
        """The input of step `index` from its output, exactly."""
        raise NotImplementedError

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"step_0": ..., "step_1": ..., ...}; no stats."""
        inputs = self._inputs(self._sequence(jnp.zeros((1, *z_shape))))
        keys = jax.random.split(rng, self.num_flows)
        params = {
            f"step_{i}": stateful.init_stateless(self.net, key, *inputs, role="a step of a flow")
            for i, key in enumerate(keys)
        }
        return params, {}

    def forward(
        self, params: Params, z: Float[Array, "b *s"]
    ) -> tuple[Float[Array, "b *s"], Float32[Array, "b"]]:
        """Carries z [B, *z_shape] to the flow's noise e [B, *z_shape] and log |de/dz| [B]."""
        e, log_det = self._sequence(z), jnp.zeros(len(z))
        for index in range(self.num_flows):
            e, log_stretch = self._map(params, index, e).forward(e)
            e = e[:, ::-1]
            log_det = log_det - sum_nonbatch(log_stretch)
        return self._latents(e, z.shape[1:]), log_det

    def inverse(self, params: Params, e: Float[Array, "b *s"]) -> Float[Array, "b *s"]:
        """Carries noise e [B, *z_shape] to z, one entry of the sequence after the other."""
        z = self._sequence(e)
        for index in reversed(range(self.num_flows)):
            z = self._invert(params, index, z[:, ::-1])
        return self._latents(z, e.shape[1:])

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
