"""Bottom-up and top-down paths of a hierarchical VAE (Child 2021; Kuzina & Tomczak 2024).

Scales are (resolution, number of latents, channels); resolution is the height of the latents' map
and has to divide the image's. Equal blocks of a scale have their parameters stacked on a leading
axis; they run by `lax.scan` or by a loop over slices, with the same numbers and checkpoints.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.errors import choose_from
from vdp.nets.bottleneck import Bottleneck, pool, space_to_depth, stacked, upsample
from vdp.nets.conv import depth_to_space
from vdp.nets.remat import remat
from vdp.nets.same_conv import SameConv
from vdp.settings.rules import Depth, Dtype, OneOf, Size
from vdp.types import Array, Params

Scale = tuple[int, int, int]
Moments = tuple[Float32[Array, "b h w c"], Float32[Array, "b h w c"]]  # mean, raw log-variance
OUTPUT_FROM = ("aggregation", "features", "z_1")


class LadderEncoder(nn.Module):
    """A 1x1 stem; per scale `blocks` bottlenecks at the incoming resolution, then average pooling.

    Attributes:
      width: channels of the features.
      hidden: of the bottlenecks.
      blocks: per scale.
      patch: side of the squares of pixels that the stem sees as one; 1 (published) sees pixels.
      remat: whether the backward pass computes again what lies between the convolutions of a block,
        instead of keeping it: less memory for little arithmetic.
      blocks_by: "scan", "loop" or "auto" (a scan; but in training on CPU, where its gradient is
        many times slower, and on a GPU, where it takes twice the kernels and memory, a loop).
      dtype: of the arithmetic.
    """

    width: Size = 32
    hidden: Size = 32
    blocks: Depth = 3
    patch: Size = 1
    remat: bool = False
    blocks_by: str = "auto"
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], scales: Sequence[Scale], *, train: bool = False
    ) -> list[Float[Array, "b _ _ {self.width}"]]:
        """Maps images [B, H, W, C] to features [B, h, w, width] of every scale, finest first."""
        block = remat(Bottleneck) if self.remat else Bottleneck
        x = space_to_depth(x, self.patch)
        h, maps = SameConv(self.width, 1, dtype=self.dtype, name="stem")(x), []
        for resolution, _, _ in scales:
            one = block(self.width, self.hidden, True, dtype=self.dtype, name=f"scale_{resolution}")
            run = stacked(lambda b, h, _: (b(h), None), self.blocks, self.blocks_by, train)
            h = pool(run(one, h, None)[0], resolution)
            maps.append(h)
        return maps


class TopDownBlock(nn.Module):
    """What stands around one latent: p and q of it from the features s, and s after it."""

    width: int
    hidden: int
    channels: int
    gain: float
    zero: str
    resnet: bool
    dtype: str

    def setup(self) -> None:  # noqa: D102
        body: dict[str, Any] = dict(hidden=self.hidden, dtype=self.dtype)
        self.s_to_p = Bottleneck(2 * self.channels + self.width, zero=self.zero, **body)
        self.s_to_q = Bottleneck(2 * self.channels, zero=self.zero, **body)
        self.z_up = SameConv(self.width, 1, scale=self.gain, dtype=self.dtype)
        if self.resnet:
            self.after = Bottleneck(self.width, scale=self.gain, **body)

    def __call__(
        self,
        s: Float[Array, "b h w s"],
        features: Float[Array, "b h w s"] | None,
        condition: Float[Array, "b h w u"] | None,
        latent: Callable[..., tuple[Array, Any]],
        noise: Float[Array, "b h w c"],
        top: Float[Array, ""],
    ) -> tuple[Float[Array, "b h w s"], Any]:
        """Returns (s after this latent, what `latent` reports); the rest is of `LadderDecoder`."""
        seen = s if condition is None else jnp.concatenate([s, condition.astype(s.dtype)], -1)
        out = self.s_to_p(seen)
        p, h = self._moments(out), out[..., 2 * self.channels :]
        q = None
        if features is not None:
            q = self._moments(self.s_to_q((features + s) * math.sqrt(0.5)))
        z, report = latent(p, q, noise, top)
        s = s + h + self.z_up(z)
        return (self.after(s) if self.resnet else s), report

    def _moments(self, out: Float[Array, "b h w _"]) -> Moments:
        """Mean and raw log-variance, float32 [B, h, w, channels] each."""
        both = out[..., : 2 * self.channels].astype(jnp.float32)
        return both[..., : self.channels], both[..., self.channels :]


class LadderDecoder(nn.Module):
    """The top-down path and the likelihood's features.

    From s = 1 at the top, for each latent: p from (s, condition), q from (features + s)/sqrt 2, z
    from the model, s <- after(s + h + z_up(z)); bilinear upsampling between scales.

    Attributes:
      width: channels of s.
      hidden: of the bottlenecks.
      output_from: what the likelihood sees: "aggregation" (the sum of all latents, upsampled, over
        sqrt L: Kuzina & Tomczak 2024), "features" (the last s: Child 2021) or "z_1" (the last
        latent: Soenderby et al. 2016). In the published "aggregation" nothing follows the last
        latent; its z_up is kept, unused, so that parameters can be carried over.
      head_blocks: bottlenecks before the last convolution.
      patch: side of the squares of pixels that the head gives at once; 1 (published) works at full
        resolution.
      zero: "all": p = q = N(0, I) at the start. "last" (published): only the last convolutions
        start at zero, their skips do not. "none": neither.
      remat: whether the backward pass computes again what lies between the convolutions of a block,
        instead of keeping it: less memory for little arithmetic.
      blocks_by: as in `LadderEncoder`.
      dtype: of the arithmetic; moments are float32.
    """

    width: Size = 32
    hidden: Size = 32
    output_from: str = "aggregation"
    head_blocks: Depth = 0
    patch: Size = 1
    zero: Annotated[str, OneOf("all", "last", "none")] = "all"
    remat: bool = False
    blocks_by: str = "auto"
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(
        self,
        latent: Callable[..., tuple[Array, Any]],
        features: Sequence[Float[Array, "b _ _ _"] | None],
        conditions: Sequence[Float[Array, "b _ _ _"] | None],
        noise: Sequence[Float[Array, "_ b _ _ _"]],
        scales: Sequence[Scale],
        out_shape: tuple[int, int, int],
        *,
        train: bool = False,
    ) -> tuple[Float32[Array, "b h w f"], list[Any]]:
        """Runs down the ladder.

        Args:
          latent: (p, q, noise [B, h, w, c], top) -> (z, report); p and q are (mean, raw
            log-variance) or q None; `top` is 1 for z_L, else 0. No density stands in this module.
          features: the encoder's per scale, top first; None draws that scale from p.
          conditions: [B, h, w, any] per scale, top first, or None.
          noise: [n, B, h, w, c] per scale, top first.
          scales: top first.
          out_shape: of the result, (H, W, channels).
          train: whether gradients will be taken; for `blocks_by`.

        Returns:
          (float32 [B, *out_shape], reports per scale stacked on a leading axis of n).
        """
        if self.output_from not in OUTPUT_FROM:
            raise choose_from("output_from", self.output_from, OUTPUT_FROM)
        num_latents = sum(num for _, num, _ in scales)
        s = jnp.ones((*noise[0].shape[1:4], self.width), self.dtype)
        latents, reports = [], []

        def keep_z(p: Moments, q: Moments | None, noise: Array, top: Array) -> tuple[Array, Any]:
            z, report = latent(p, q, noise, top)
            return z, (z, report)

        for index, (resolution, num, channels) in enumerate(scales):
            last = index == len(scales) - 1
            bare = last and self.output_from != "features"
            top = jnp.zeros(num).at[0].set(float(index == 0))
            part = (features[index], conditions[index])
            block = lambda name, resnet=True, channels=channels: (
                remat(TopDownBlock, static=(4,)) if self.remat else TopDownBlock
            )(
                self.width, self.hidden, channels, num_latents**-0.5, self.zero, resnet, self.dtype,
                name=name,
            )  # fmt: skip

            def body(
                block: nn.Module, s: Array, xs: tuple[Array, Array], part: tuple = part
            ) -> tuple[Array, Any]:
                return block(s, *part, keep_z, *xs)

            full = num - 1 if bare else num
            parts = []
            if full:
                one = block(f"scale_{resolution}")
                run = stacked(body, full, self.blocks_by, train)
                s, stack = run(one, s, (noise[index][:full], top[:full]))
                parts.append(stack)
            if bare:
                s, one = body(block("bottom", False), s, (noise[index][-1], top[-1]))
                parts.append(jax.tree.map(lambda leaf: leaf[None], one))
            z, report = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
            latents.append(z)
            reports.append(report)
            if not last:
                factor = scales[index + 1][0] / resolution
                height, width = (round(side * factor) for side in s.shape[1:3])
                s = upsample(s, (height, width))
        return self._head(s, latents, num_latents, out_shape), reports

    def _head(
        self,
        s: Float[Array, "b _ _ _"],
        latents: Sequence[Float[Array, "_ b _ _ _"]],
        num_latents: int,
        out_shape: tuple[int, int, int],
    ) -> Float32[Array, "b h w f"]:
        """The likelihood's features from the last s or from the latents, [n, B, h, w, c] each."""
        size = out_shape[0] // self.patch, out_shape[1] // self.patch
        if self.output_from == "features":
            h = upsample(s, size)
        else:
            if self.output_from == "z_1":
                total = upsample(latents[-1][-1], size)
            else:
                total = sum(upsample(z.sum(0), size) for z in latents) * num_latents**-0.5
            h = SameConv(self.width, 1, dtype=self.dtype, name="z_to_features")(total)
        for index in range(self.head_blocks):
            name = f"head_{index}"
            h = Bottleneck(self.width, self.hidden, zero="last", dtype=self.dtype, name=name)(h)
        outputs = out_shape[2] * self.patch**2
        h = SameConv(outputs, 3, dtype=self.dtype, name="head")(h).astype(jnp.float32)
        return depth_to_space(h, self.patch)


def top_posterior(
    decoder: LadderDecoder, params: Params, features: Float[Array, "b h w s"], scale: Scale
) -> Moments:
    """The moments of q(z_L|x) from the top features and s = 1 alone.

    Args:
      decoder: whose blocks these are.
      params: of the decoder.
      features: the encoder's of the coarsest scale, [B, h, w, width].
      scale: the coarsest: (h, number of latents, channels).
    """
    resolution, _, channels = scale
    name = f"scale_{resolution}"
    if name in params:
        first = jax.tree.map(lambda leaf: leaf[0], params[name]["s_to_q"])
    else:  # one latent in all
        first = params["bottom"]["s_to_q"]
    body = Bottleneck(2 * channels, decoder.hidden, dtype=decoder.dtype)
    out: Any = body.apply({"params": first}, (features + 1) * math.sqrt(0.5))
    out = out.astype(jnp.float32)
    return out[..., :channels], out[..., channels:]
