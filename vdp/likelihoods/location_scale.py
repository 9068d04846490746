"""What likelihoods with a location and a scale share: where the log-scale comes from.

`scale` is "predicted" (by the decoder, per pixel), "learned" (one parameter for the whole model,
stored with the decoder) or a number (fixed). Either way `outputs` holds the locations in [-1, 1]
followed by the log-scales: [B, H, W, 2C].
"""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Float, Float32, Real, UInt8

from vdp.errors import UserError
from vdp.levels import to_symmetric
from vdp.settings.rules import LogVariance
from vdp.types import AnyArray, Array, Params

LOWEST, HIGHEST = -8.0, 1.0  # log-scales


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocationScale:
    """Base of likelihoods with a location and a scale; log-scales are clamped to [-8, 1].

    `vdp.likelihoods` says what the arguments of all methods are.

    Attributes:
      levels: number of levels of the image, at least 2.
      scale: "predicted", "learned" or a number, see the top of the module.
      initial_log_scale: where a learned log-scale starts, and what is added to predicted ones.
    """

    levels: int
    scale: str | float = "learned"
    initial_log_scale: LogVariance = -1.0

    def __post_init__(self):
        check_levels(self.levels)
        if isinstance(self.scale, str) and self.scale not in ("predicted", "learned"):
            try:  # of the command line, where the field holds a word
                object.__setattr__(self, "scale", float(self.scale))
            except ValueError:
                raise UserError(
                    f"scale {self.scale!r} is neither 'predicted', 'learned' nor a number"
                ) from None
        low, high = math.exp(LOWEST), math.exp(HIGHEST)
        if not isinstance(self.scale, str) and not low <= self.scale <= high:
            raise UserError(
                f"a fixed scale lies between {low:.2g} and {high:.3g}, not {self.scale}"
            )
        if isinstance(self.scale, str) and not LOWEST <= self.initial_log_scale <= HIGHEST:
            raise UserError(
                f"a {self.scale} log-scale starts between {LOWEST:g} and {HIGHEST:g}, outside of "
                f"which it has no gradient, not at {self.initial_log_scale:g}"
            )

    def init(self) -> Params:
        """Parameters {"log_scale": []} where one is learned, else {}."""
        return {"log_scale": jnp.float32(self.initial_log_scale)} if self.scale == "learned" else {}

    def num_features(self, channels: int) -> int:
        """Channels the decoder's network has to give."""
        return 2 * channels if self.scale == "predicted" else channels

    def attach(self, params: Params, features: Float[Array, "b h w f"]) -> Float[Array, "b h w n"]:
        """Completes decoder features to `outputs` [B, H, W, 2C]."""
        if self.scale == "predicted":
            location, raw = jnp.split(features, 2, axis=-1)
            return jnp.concatenate([location, raw + self.initial_log_scale], axis=-1)
        learned = self.scale == "learned"
        log_scale = params["log_scale"] if learned else math.log(float(self.scale))
        return jnp.concatenate([features, jnp.full_like(features, 1.0) * log_scale], axis=-1)

    def num_outputs(self, channels: int) -> int:
        """Channels of `outputs`."""
        return 2 * channels

    def split(
        self, outputs: Float[Array, "b h w n"]
    ) -> tuple[Float32[Array, "b h w c"], Float32[Array, "b h w c"]]:
        """Locations and clamped log-scales, float32."""
        location, log_scale = jnp.split(outputs.astype(jnp.float32), 2, axis=-1)
        return location, jnp.clip(log_scale, LOWEST, HIGHEST)

    def position(self, level: Real[AnyArray, "*s"]) -> Float32[AnyArray, "*s"]:
        """Where a level stands on [-1, 1], float32."""
        return to_symmetric(level, self.levels)

    @property
    def bin_width(self) -> float:
        """Distance of two levels' positions."""
        return 2.0 / (self.levels - 1)

    def to_level(self, x: Float[Array, "*s"]) -> UInt8[Array, "*s"]:
        """The level nearest to x in [-1, 1] (half up), uint8."""
        return nearest_level(x, self.levels)


def nearest_level(x: Float[Array, "*s"], levels: int) -> UInt8[Array, "*s"]:
    """Of 0..levels - 1 that whose position is nearest to x in [-1, 1] (half up), uint8."""
    level = jnp.floor((x + 1) / 2 * (levels - 1) + 0.5)
    return jnp.clip(level, 0, levels - 1).astype(jnp.uint8)


def check_levels(levels: int) -> None:
    """Refuses images of less than two levels; UserError."""
    if levels < 2:
        raise UserError(f"images need at least 2 levels, not {levels}")
