"""What is drawn of a ladder: images, from its prior or posteriors; and what its units carry."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp import draws
from vdp.errors import UserError
from vdp.models.ladder import Ladder, LatentNoise, Reports
from vdp.models.noise import HierarchySampleNoise, LadderNoise
from vdp.nets.ladder import Moments
from vdp.noise import expect, required
from vdp.types import AnyArray, Array, Batch, Encode, Key, Levels, Noise, Params, Shape, Stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderSamples(Ladder):
    """The draws of `HVAE`; fields as of `Ladder`."""

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

    def _coarsest(self, features: Sequence[Array], num_scales: int | None) -> list[Array | None]:
        """The features of the coarsest `num_scales` scales alone, None for those drawn from p."""
        if num_scales == 0 and self.prior is not None and not self.over_code:
            raise UserError("with a prior over z_L its scale is drawn from q: num_scales=1 or more")
        kept = len(features) if num_scales is None else num_scales
        return [each if place < kept else None for place, each in enumerate(features)]

    def _posterior_pass(
        self, params: Params, stats: Stats, images: Float[Array, "b h w c"], rng: Key,
        num_scales: int | None = None,
    ) -> tuple[Float[Array, "b h w k"], Reports]:  # fmt: skip
        """Draws all latents once: (outputs, reports) for images in [0, 1]; see `reconstruct`."""
        x_shape, num = images.shape[1:], len(images)
        code_rng, z_rng = jax.random.split(rng)
        conditions = self.no_conditions
        if self.over_code:
            q = self.code(params, stats, images)
            u = q.sample(draws.normal(code_rng, q.mean.shape))
            conditions = self.conditions(params, stats, u, x_shape)
        features = self._coarsest(self.features(params, images), num_scales)
        noise = self.latent_noise(z_rng, num, x_shape)
        return self.descend(params, features, conditions, noise, x_shape)

    def reconstruct(
        self, params: Params, stats: Stats, images: Levels, rng: Key,
        *, num_scales: int | None = None,
    ) -> Float[Array, "b h w c"]:  # fmt: skip
        """Mean image in [0, 1] of one posterior draw, [B, H, W, C].

        Args:
          params: of `init`.
          stats: of `init`.
          images: integer levels [B, H, W, C], as the encoder sees them.
          rng: a key.
          num_scales: the coarsest scales drawn from the posterior, the others from the prior; all
            by default. u is drawn from q(u|x) always; z_L has to be where the prior is over it.
        """
        scaled = self._scaled(images)
        return self.likelihood.mean(self._posterior_pass(params, stats, scaled, rng, num_scales)[0])

    def latent_means(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, num: int = 2
    ) -> Float[Array, "b {num} units"]:
        """Posterior means [B, num, units] of all latents, z_L first, at `num` joint draws."""
        images = self._scaled(batch.input)

        def one(key: Key) -> Array:
            _, reports = self._posterior_pass(params, stats, images, key)
            return _by_unit([report["q"].mean for report in reports])

        return jnp.swapaxes(jax.lax.map(one, jax.random.split(rng, num)), 0, 1)

    def unit_rates(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b units"]:
        """KL(q || p) of all units, z_L first, at one draw of the latents above, [B, units] nats.

        NaN for the units of z_L where the prior is over that, whose rate has no such parts.
        """
        images = self._scaled(batch.input)
        _, reports = self._posterior_pass(params, stats, images, rng)
        rates = _by_unit([report["q"].kl_each(report["p"]) for report in reports])
        if self.prior is None or self.over_code:
            return rates
        return rates.at[:, : math.prod(self.prior_shape(images.shape[1:]))].set(jnp.nan)


def _by_unit(scales: Sequence[Float[Array, "_ b _ _ _"]]) -> Float[Array, "b units"]:
    """What every unit of a ladder has, from what the scales report: [B, units], z_L first."""
    return jnp.concatenate(
        [jnp.swapaxes(each, 0, 1).reshape(each.shape[1], -1) for each in scales], axis=1
    )
