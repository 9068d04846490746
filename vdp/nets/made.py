"""MADE: a masked MLP whose output i sees the inputs before i only (Germain et al. 2015)."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from vdp.settings.rules import Depth, Dtype, Size
from vdp.types import Array

LOG_SCALE_BOUND = 5.0


class MaskedDense(nn.Module):
    """A dense layer whose kernel is multiplied by a constant 0/1 mask [in, out]."""

    mask: np.ndarray
    zero: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b o"]:
        """Maps [B, in] to [B, out]."""
        init = nn.initializers.zeros if self.zero else nn.linear.default_kernel_init
        kernel = self.param("kernel", init, self.mask.shape)
        bias = self.param("bias", nn.initializers.zeros, (self.mask.shape[1],))
        masked = (kernel * self.mask).astype(self.dtype)
        return x.astype(self.dtype) @ masked + bias.astype(self.dtype)[None]


class MADE(nn.Module):
    """Means and log-scales of an affine autoregressive step; both start at zero.

    Hidden units, `width` of them or D where that is more, carry degrees 0..D-1 in turn; a unit of
    degree d sees inputs 0..d-1. Log-scales are bounded by tanh.
    """

    width: Size = 256
    depth: Depth = 2
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, z: Float[Array, "b d"]
    ) -> tuple[Float32[Array, "b d"], Float32[Array, "b d"]]:
        """Maps z [B, D] to (mean, log_scale), float32 [B, D]; entry i depends on z[:, :i]."""
        dims = z.shape[1]
        inputs, hidden = np.arange(1, dims + 1), np.arange(max(self.width, dims)) % dims
        degrees, h = inputs, z
        for _ in range(self.depth):
            mask = (degrees[:, None] <= hidden[None]).astype(np.float32)
            h = nn.silu(MaskedDense(mask, dtype=self.dtype)(h))
            degrees = hidden
        outputs = np.tile(inputs - 1, 2)
        mask = (degrees[:, None] <= outputs[None]).astype(np.float32)
        out = MaskedDense(mask, zero=True, dtype=self.dtype)(h).astype(jnp.float32)
        mean, raw = jnp.split(out, 2, axis=-1)
        return mean, LOG_SCALE_BOUND * jnp.tanh(raw / LOG_SCALE_BOUND)
