"""The affine map of one number, by moments that depend on others."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from vdp.types import Array


class Affine(NamedTuple):
    """e = (z - shift) exp(-log_scale), elementwise.

    Attributes:
      shift: of z's shape.
      log_scale: of z's shape.
    """

    shift: Float[Array, "*s"]
    log_scale: Float[Array, "*s"]

    def forward(self, z: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
        """Carries z to e; beside it log dz/de, elementwise."""
        return (z - self.shift) * jnp.exp(-self.log_scale), self.log_scale

    def inverse(self, e: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Carries e to z."""
        return e * jnp.exp(self.log_scale) + self.shift
