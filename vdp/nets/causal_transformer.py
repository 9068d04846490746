"""A causal transformer over tokens: a step of a transformer flow (TarFlow, Zhai et al. 2024)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.errors import UserError
from vdp.nets.made import bounded
from vdp.settings.rules import Depth, Dtype, Size
from vdp.types import Array

WIDEN = 4  # times the width: of the hidden layer of a block


class CausalBlock(nn.Module):
    """Self-attention and two dense layers, each normalised before and added (pre-norm)."""

    heads: int
    attends: bool = True
    decode: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, h: Float[Array, "b n w"], mask: Float[Array, "b 1 n n"] | None
    ) -> Float[Array, "b n w"]:
        """Maps [B, N, W] to the same shape, under a mask of what attends to what or none."""
        width = h.shape[-1]
        if self.attends:
            attention = nn.MultiHeadDotProductAttention(
                self.heads, dtype=self.dtype, decode=self.decode
            )
            h = h + attention(nn.LayerNorm(dtype=self.dtype)(h), mask=mask)
        hidden = nn.Dense(WIDEN * width, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(h))
        return h + nn.Dense(width, dtype=self.dtype)(nn.gelu(hidden))


class CausalTransformer(nn.Module):
    """Shifts and log-scales of tokens from the tokens before them; both start at zero.

    The sequence is shifted by one token, so that the first is mapped by learned constants. With
    `decode`, a first call with a whole sequence creates the variables of the collection "cache".
    Each later call takes the token before the next (zeros before the first), and gives the shift
    and log-scale of the next at the cost of one token.

    Attributes:
      width: of a token's features; a multiple of `heads`.
      depth: number of blocks.
      heads: of attention.
      dtype: of the arithmetic.
      decode: whether it is called token by token.
    """

    width: Size = 128
    depth: Depth = 2
    heads: Size = 4
    dtype: Dtype = "float32"
    decode: bool = False

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b n t"]
    ) -> tuple[Float32[Array, "b n t"], Float32[Array, "b n t"]]:
        """Maps tokens [B, N, T] to (shift, log_scale), float32 [B, N, T]; i sees tokens[:, :i]."""
        if self.width % self.heads:
            raise UserError(f"width {self.width} is no multiple of heads {self.heads}")
        embed = nn.Dense(self.width, dtype=self.dtype)
        size = tokens.shape[1:]
        next_one = self.decode and self.has_variable("cache", "index")
        if next_one:
            index = self.variable("cache", "index", jnp.zeros, (), jnp.int32)
            positions: Array = self.get_variable("params", "positions")
            position = jax.lax.dynamic_slice_in_dim(positions, index.value, 1)
            index.value = index.value + 1
            before, mask = tokens, None
        else:
            if self.decode:
                self.variable("cache", "index", jnp.zeros, (), jnp.int32)
            start = nn.initializers.normal(0.02)
            positions = position = self.param("positions", start, (size[0], self.width))
            before = jnp.pad(tokens, ((0, 0), (1, 0), (0, 0)))[:, :-1]
            mask = nn.make_causal_mask(tokens[..., 0])
        h = embed(before) + position[None].astype(self.dtype)
        for _ in range(self.depth):
            # a single token has nothing to attend to
            h = CausalBlock(self.heads, len(positions) > 1, self.decode, self.dtype)(h, mask)
        out = nn.Dense(2 * size[1], dtype=self.dtype, kernel_init=nn.initializers.zeros)(
            nn.LayerNorm(dtype=self.dtype)(h)
        ).astype(jnp.float32)
        shift, raw = jnp.split(out, 2, axis=-1)
        return shift, bounded(raw)
