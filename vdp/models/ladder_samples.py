"""Images drawn from a ladder: its prior over u or z_L first, then every latent from p."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.models.ladder import Ladder, LatentNoise
from vdp.models.noise import HierarchySampleNoise, LadderNoise
from vdp.nets.ladder import Moments
from vdp.noise import expect, required
from vdp.types import AnyArray, Array, Encode, Key, Noise, Params, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderSamples(Ladder):
    """The samples of `HVAE`; fields as of `Ladder`."""

    def encode_fn(self, params: Params) -> Encode:
        """What a VampPrior over z_L calls: images in [0, 1] to q(z_L|x)."""
        return lambda images: self.top_posterior(params, images)

    def check_sampler(self, **options: Any) -> None:
        """As of every model with a prior; `z_temperature` is the ladder's own."""
        self.tempered([], options.pop("z_temperature", ()))
        super().check_sampler(**options)

    def draw_sample(
        self, rng: Key, num: int, *, x_shape: Shape, **options: Any
    ) -> LadderNoise | HierarchySampleNoise:
        """What `sample` of the same key makes `num` images of, but for drawn pixels.

        Args:
          rng: a key.
          num: of images.
          x_shape: (H, W, C).
          options: of the prior's sampler, the same as of `sample`.
        """
        prior_rng, z_rng, _ = jax.random.split(rng, 3)
        z = self.latent_noise(z_rng, num, x_shape)
        if self.prior is None:
            return LadderNoise(z=z)
        drawn = self._draw_prior(prior_rng, num, self.prior_shape(x_shape), options)
        return HierarchySampleNoise(z=z, prior=drawn)

    def sample_prior(
        self, params: Params, stats: Stats, rng: Key | None, num: int,
        *, x_shape: Shape, **options: Any,
    ) -> Float[Array, "{num} *u"]:  # fmt: skip
        """Draws u, or z_L where the prior is over that, [num, *prior_shape]; options hold noise."""
        how: dict[str, Any] = dict(z_shape=self.prior_shape(x_shape))
        how["encode"] = self.encode_fn(params)
        return self._from_prior(params, stats, rng, num, **how, **options)

    def _noise_of_sample(
        self, noise: Noise, rng: Key | None, num: int, x_shape: Shape
    ) -> tuple[LatentNoise, Noise]:
        """(that of the latents, that of the prior or None) of `draw_sample`'s, or drawn by rng."""
        if noise is None:
            rng = required(rng, by="a sample of this hierarchy")
            return self.latent_noise(rng, num, x_shape), None
        kind = LadderNoise if self.prior is None else HierarchySampleNoise
        expect(noise, kind, by="a sample of this hierarchy", instead="its draw_sample gives it")
        return noise.z, None if self.prior is None else noise.prior

    def sample(
        self, params: Params, stats: Stats, rng: Key | None, num: int,
        *, x_shape: Shape, mean: bool = True, z_temperature: Sequence[float] = (),
        u: Float[AnyArray, "{num} *u"] | None = None, noise: Noise = None, **options: Any,
    ) -> Float[Array, "{num} h w c"]:  # fmt: skip
        """Draws images in [0, 1], [num, H, W, C].

        Args:
          params: of `init`.
          stats: of `init`.
          rng: a key.
          num: of images.
          x_shape: (H, W, C).
          mean: the likelihood's mean; False draws pixels, by `rng` always.
          z_temperature: factors on the standard deviations of z_L..z_1: none, one for all, or L.
          u: pseudo-inputs [num, ...] in place of the prior's draws.
          noise: of `draw_sample` for the same options, in place of rng.
          options: of the prior's sampler; `temperature` is that of u (or of z_L under a prior).

        Raises:
          UserError: a noise of another kind.
        """
        prior_rng, z_rng, pixel_rng = self._keys(rng, 3)
        z_noise, of_prior = self._noise_of_sample(noise, z_rng, num, x_shape)
        z_noise = self.tempered(z_noise, z_temperature)
        conditions, z_top = self.no_conditions, None
        draw = lambda: self.sample_prior(
            params, stats, prior_rng, num, x_shape=x_shape, noise=of_prior, **options
        )
        if self.over_code:
            conditions = self.conditions(params, stats, draw() if u is None else u, x_shape)
        elif self.prior is not None:
            z_top = draw()

        def latent(p: Moments, q: Moments | None, noise: Array, top: Array) -> tuple[Array, Any]:
            z, report = self.step(p, q, noise, top)
            if z_top is None or z.shape != z_top.shape:  # below the top scale
                return z, report
            return jnp.where(top > 0, z_top, z), report

        none = [None] * len(self.scales)
        outputs, _ = self.descend(params, none, conditions, z_noise, x_shape, latent)
        return self._drawn_image(outputs, pixel_rng, mean)
