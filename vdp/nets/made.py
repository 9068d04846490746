"""MADE: a masked MLP whose output i sees the inputs before i only (Germain et al. 2015)."""

from typing import Annotated

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from vdp.settings.rules import Depth, Dtype, OneOf, Size
from vdp.types import Array

BOUND = 5.0
NARROW = 2.0


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


def bounded(raw: Float[Array, "*s"], most: float = BOUND) -> Float[Array, "*s"]:
    """Numbers within +-most, by tanh; unchanged near zero.

    Every step of a flow multiplies by the exponentials of log-scales: without a bound the products
    overflow float32 after a few training steps, in samples drawn entry by entry sooner than in
    densities.
    """
    return most * jnp.tanh(raw / most)


class MADE(nn.Module):
    """Parameters of an autoregressive step, by default mean and log-scale; all zero at the start.

    Hidden units, `width` of them or D where that is more, carry degrees 0..D-1 in turn; a unit of
    degree d sees inputs 0..d-1. Log-scales are bounded. A context, where there is one, is
    added to every layer, the last of which starts at zero there too: all outputs see all of it.

    Attributes:
      width: of the hidden layers.
      depth: hidden layers.
      dtype: of the arithmetic.
      bounds: "wide": log-scales lie within 5, and the network sees z itself. "narrow": they lie
        within 2, and it sees 5 tanh(z / 5), so that shifts do not grow with z. Codes are large in
        the first steps of a VAE, when the rate does not count yet, and every step of a flow
        multiplies what the one before makes of them: with "wide" to bounds of -1e11 nats.
    """

    width: Size = 256
    depth: Depth = 2
    dtype: Dtype = "float32"
    bounds: Annotated[str, OneOf("wide", "narrow")] = "wide"

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "b d"],
        numbers: int | None = None,
        *,
        context: Float[Array, "b c"] | None = None,
    ) -> tuple[Float32[Array, "b d"], Float32[Array, "b d"]] | Float32[Array, "b d n"]:
        """Maps z [B, D] to numbers whose entry i depends on z[:, :i] alone.

        Args:
          z: [B, D].
          numbers: how many are wanted for each dimension; None for the moments of an affine step.
          context: features of what the outputs may depend on besides, [B, C].

        Returns:
          (mean, log_scale), float32 [B, D]; or `numbers` for each dimension, float32 [B, D, N].
        """
        dims = z.shape[1]
        inputs, hidden = np.arange(1, dims + 1), np.arange(max(self.width, dims)) % dims
        narrow = self.bounds == "narrow"
        degrees, h = inputs, bounded(z) if narrow else z
        for _ in range(self.depth):
            mask = (degrees[:, None] <= hidden[None]).astype(np.float32)
            h = MaskedDense(mask, dtype=self.dtype)(h)
            if context is not None:
                h = h + nn.Dense(len(hidden), dtype=self.dtype)(context)
            h = nn.silu(h)
            degrees = hidden
        outputs = np.tile(inputs - 1, numbers or 2)
        mask = (degrees[:, None] <= outputs[None]).astype(np.float32)
        out = MaskedDense(mask, zero=True, dtype=self.dtype)(h)
        if context is not None:
            zeros = nn.initializers.zeros
            out = out + nn.Dense(len(outputs), dtype=self.dtype, kernel_init=zeros)(context)
        out = out.astype(jnp.float32)
        if numbers is not None:
            return out.reshape(-1, numbers, dims).swapaxes(1, 2)
        mean, raw = jnp.split(out, 2, axis=-1)
        return mean, bounded(raw, NARROW if narrow else BOUND)
