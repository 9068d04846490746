"""What the scales of a hierarchy say about its latents: their number, shapes and names."""

from typing import Any

from vdp.errors import UserError
from vdp.settings.rules import Size
from vdp.types import Shape


class Scales:
    """Base of models with latents z_L..z_1 on `scales`, for nets of `vdp.nets.ladder`."""

    encoder: Any
    decoder: Any
    scales: tuple[tuple[Size, Size, Size], ...]

    def check_scales(self) -> None:
        """Refuses scales without latents, and those in another order; UserError."""
        heights = [height for height, _, _ in self.scales]
        if not heights or min(min(scale) for scale in self.scales) < 1:
            raise UserError("scales must be (height, latents, channels), all at least 1")
        if any(low <= high for high, low in zip(heights[1:], heights, strict=False)):
            raise UserError(f"scales go from the finest to the coarsest, not {heights}")

    @property
    def top_down(self) -> tuple[tuple[int, int, int], ...]:
        """The scales as the decoder runs them, coarsest first."""
        return self.scales[::-1]

    @property
    def num_latents(self) -> int:
        """The number of latents in all, L."""
        return sum(num for _, num, _ in self.scales)

    @property
    def latent_names(self) -> list[str]:
        """Names of the ladder's parts, z_L first."""
        return [f"z_{level}" for level in range(self.num_latents, 0, -1)]

    def latent_shapes(self, x_shape: Shape) -> list[tuple[int, int, int, int]]:
        """The shape (latents, h, w, channels) of every scale, coarsest first.

        Raises:
          UserError: images of this size cannot be divided so, or the decoder adds up what differs.
        """
        self._check_divisions(x_shape)
        factors = [x_shape[0] // height for height, _, _ in self.top_down]
        shapes = [
            (num, height, x_shape[1] // factor, channels)
            for (height, num, channels), factor in zip(self.top_down, factors, strict=True)
        ]
        different = {channels for *_, channels in shapes}
        if self.decoder.output_from == "aggregation" and len(different) > 1:
            raise UserError("aggregation adds the latents up: give all scales the same channels")
        return shapes

    def _check_divisions(self, x_shape: Shape) -> None:
        """Refuses images whose sides the patches or a scale do not divide; UserError."""
        height, width = x_shape[:2]
        patch = getattr(self.encoder, "patch", 1)
        images = f"{height}x{width}"
        fitting = self.scales[0][0] * patch
        hint = f"resize the images, as with data.resize={fitting}x{fitting}, or choose other scales"
        if height % patch or width % patch:
            raise UserError(
                f"the encoder's patches of {patch}x{patch} do not divide images of {images}: {hint}"
            )
        finer = height // patch
        for scale, _, _ in self.scales:
            if scale > finer:
                raise UserError(
                    f"a scale of height {scale} is finer than images of {images} or the encoder's "
                    f"patches of them: {hint}"
                )
            if finer % scale or width % (height // scale):
                raise UserError(
                    f"a scale of height {scale} does not divide images of {images}: {hint}"
                )
            finer = scale

    def latent_table(self, x_shape: Shape) -> list[dict[str, Any]]:
        """Name, height of the map and number of units of every latent, z_L first."""
        maps = [
            {"height": h, "units": h * w * channels}
            for num, h, w, channels in self.latent_shapes(x_shape)
            for _ in range(num)
        ]
        return [{"name": n} | one for n, one in zip(self.latent_names, maps, strict=True)]
