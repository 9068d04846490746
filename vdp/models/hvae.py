"""A deep top-down hierarchical VAE, with or without pseudo-inputs (DVP-VAE: Kuzina & Tomczak 2024).

log p(x) >= E_q[log p(x|z) - sum_l KL(q(z_l|z_>l, u, x) || p(z_l|z_>l, u))] - rate(u)

with rate(u) = -E_q[bound(log r(u))] - H[q(u|x)], at least KL(q(u|x) || r(u)). u is a small code of
the image that conditions every level; any prior stands over it. Without pseudo-inputs there is the
ladder alone, with p(z_L) its own top block or any prior over z_L, such as a VampPrior (whose
pseudo-inputs are images). docs/dvp.md has the parameter tree and the noise.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.diffusion.noise import expect
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.models.ladder import Ladder, Reports
from vdp.models.noise import HierarchyNoise, LadderNoise
from vdp.nets.ladder import Moments
from vdp.priors.noise import DiffusionNoise, PosteriorNoise
from vdp.settings.rules import Amount, Natural
from vdp.types import (
    AnyArray,
    Array,
    Aux,
    Batch,
    Encode,
    Key,
    Levels,
    Noise,
    Params,
    Purpose,
    Shape,
    Stats,
    Terms,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HVAE(Ladder):
    """The hierarchy's bound, weights and samples; fields as of `Ladder`.

    Attributes:
      beta: weight of the rate in the loss; reported bounds never contain it.
      kl_warmup_steps: the weight rises linearly from 0 to beta over these steps.
    """

    beta: Amount = 1.0
    kl_warmup_steps: Natural = 0

    def _prior_args(self, params: Params, stats: Stats) -> tuple[Params, Stats]:
        return params["prior"], stats["prior"]

    def _encode_fn(self, params: Params) -> Encode:
        """What a VampPrior over z_L calls: images in [0, 1] to q(z_L|x)."""
        return lambda images: self.top_posterior(params, images)

    def draw(
        self, rng: Key, batch: Batch, *, purpose: Purpose = "loss"
    ) -> LadderNoise | HierarchyNoise:
        """The noise of all latents and, where there is a prior, the prior's."""
        z_rng, prior_rng = jax.random.split(rng)
        num, *x_shape = batch.target.shape
        z = self.latent_noise(z_rng, num, x_shape)
        if self.prior is None:
            return LadderNoise(z=z)
        shape = self.prior_shape(x_shape)
        return HierarchyNoise(z=z, prior=self.prior.draw(prior_rng, num, shape, purpose=purpose))

    def _noise_of(self, noise: Noise) -> tuple[list[Array], PosteriorNoise | DiffusionNoise | None]:
        """Splits a noise in (that of the latents per scale, that of the prior or None)."""
        kind = LadderNoise if self.prior is None else HierarchyNoise
        expect(noise, kind, by="the bound of this hierarchy", instead="its own draw gives it")
        if self.prior is None:
            return noise.z, None
        if self.over_code:
            return noise.z, noise.prior
        return [noise.z[0].at[:, 0].set(noise.prior.z), *noise.z[1:]], noise.prior

    def _terms(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, noise: Noise, train: bool
    ) -> Terms:
        """The bound: KLs in closed form, the prior's rate by the prior."""
        x_shape = batch.target.shape[1:]
        images = self._scaled(batch.input)
        z_noise, prior_noise = self._noise_of(noise)
        rate_args: dict[str, Any] = dict(noise=prior_noise, train=train)
        conditions, minus_rate = self.no_conditions, None
        if self.over_code:
            q = self.code(params, stats, images)
            u, minus_rate = self.prior.rate(*self._prior_args(params, stats), q, rng, **rate_args)
            conditions = self.conditions(params, stats, u, x_shape)
        features = self.features(params, images, train=train)
        outputs, reports = self.descend(params, features, conditions, z_noise, x_shape, train=train)
        if self.prior is not None and not self.over_code:
            top = jax.tree.map(lambda leaf: leaf[0], reports[0]["q"])
            rate_args["encode"] = self._encode_fn(params)
            variables = self._prior_args(params, stats)
            _, minus_rate = self.prior.rate(*variables, top, rng, **rate_args)
        over = "u" if self.over_code else self.latent_names[0]
        of_prior = minus_rate.parts if minus_rate else {}
        parts = {f"{over}_{name}": part for name, part in of_prior.items()}
        kls = self.per_latent(reports, lambda q, p, z: -q.kl(p))
        log_prob = self.likelihood.log_prob(outputs, batch.target)
        return Terms.of(likelihood=log_prob, **parts, **kls)

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """The loss -log p(x|z) + beta(step) (all KLs and the rate), [B], and Aux, un-annealed."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        terms = self._terms(params, stats, batch, rest_rng, noise, train)
        likelihood = terms.parts["likelihood"]
        warmup = jnp.minimum(1.0, (step + 1) / max(self.kl_warmup_steps, 1))
        beta = self.beta * (warmup if self.kl_warmup_steps else 1.0)
        loss = -(likelihood + beta * (terms.value - likelihood))
        return loss, Aux(terms=terms, stats=stats, scalars={"beta": jnp.float32(beta)})

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]:
        """The weight log p(x, z, u)/q(z, u|x) at one draw, [B]: sampled log-densities, no KL."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="weight") if noise is None else noise
        x_shape = batch.target.shape[1:]
        images = self._scaled(batch.input)
        conditions, weight = self.no_conditions, jnp.float32(0)
        z_noise, prior_noise = self._noise_of(noise)
        weigh = lambda q, **kw: self.prior.log_prob_weight(
            *self._prior_args(params, stats), q, rest_rng, noise=prior_noise, **kw
        )
        if self.over_code:
            u, weight = weigh(self.code(params, stats, images))
            conditions = self.conditions(params, stats, u, x_shape)
        features = self.features(params, images)
        outputs, reports = self.descend(params, features, conditions, z_noise, x_shape)
        if self.prior is not None and not self.over_code:
            top = jax.tree.map(lambda leaf: leaf[0], reports[0]["q"])
            _, weight = weigh(top, encode=self._encode_fn(params))
        ratios = self.per_latent(reports, lambda q, p, z: p.log_prob(z) - q.log_prob(z))
        return self.likelihood.log_prob(outputs, batch.target) + weight + sum(ratios.values())

    def check_sampler(self, **options: Any) -> None:
        """As of every model with a prior; `z_temperature` is the ladder's own."""
        self.tempered([], options.pop("z_temperature", ()))
        super().check_sampler(**options)

    def sample_prior(
        self, params: Params, stats: Stats, rng: Key, num: int, *, x_shape: Shape, **options: Any
    ) -> Float[Array, "{num} *u"]:
        """Draws u, or z_L where the prior is over that, [num, *prior_shape]."""
        return self.prior.sample(
            *self._prior_args(params, stats),
            rng,
            num,
            z_shape=self.prior_shape(x_shape),
            encode=self._encode_fn(params),
            **options,
        )

    def sample(
        self, params: Params, stats: Stats, rng: Key, num: int,
        *, x_shape: Shape, mean: bool = True, z_temperature: Sequence[float] = (),
        u: Float[AnyArray, "{num} *u"] | None = None, **options: Any,
    ) -> Float[Array, "{num} h w c"]:  # fmt: skip
        """Draws images in [0, 1], [num, H, W, C].

        Args:
          params: of `init`.
          stats: of `init`.
          rng: a key.
          num: of images.
          x_shape: (H, W, C).
          mean: the likelihood's mean; False draws pixels.
          z_temperature: factors on the standard deviations of z_L..z_1: none, one for all, or L.
          u: pseudo-inputs [num, ...] in place of the prior's draws.
          options: of the prior's sampler; `temperature` is that of u (or of z_L under a prior).
        """
        prior_rng, z_rng, pixel_rng = jax.random.split(rng, 3)
        noise = self.tempered(self.latent_noise(z_rng, num, x_shape), z_temperature)
        conditions, z_top = self.no_conditions, None
        if self.over_code:
            if u is None:
                u = self.sample_prior(params, stats, prior_rng, num, x_shape=x_shape, **options)
            conditions = self.conditions(params, stats, u, x_shape)
        elif self.prior is not None:
            z_top = self.sample_prior(params, stats, prior_rng, num, x_shape=x_shape, **options)

        def latent(p: Moments, q: Moments | None, noise: Array, top: Array) -> tuple[Array, Any]:
            z, report = self.step(p, q, noise, top)
            if z_top is None or z.shape != z_top.shape:  # below the top scale
                return z, report
            return jnp.where(top > 0, z_top, z), report

        none = [None] * len(self.scales)
        outputs, _ = self.descend(params, none, conditions, noise, x_shape, latent)
        return self._drawn_image(outputs, pixel_rng, mean)

    def encode(self, params: Params, stats: Stats, images: Levels) -> dict[str, Normal]:
        """Posteriors by name: "u", and "z_L".."z_1" at the means of all above them."""
        x_shape = images.shape[1:]
        noise = [jnp.zeros((len(images), *shape)) for shape in self.latent_shapes(x_shape)]
        scaled = self._scaled(images)
        posteriors, conditions = {}, self.no_conditions
        if self.over_code:
            posteriors["u"] = self.code(params, stats, scaled)
            conditions = self.conditions(params, stats, posteriors["u"].mean, x_shape)
        _, reports = self.descend(params, self.features(params, scaled), conditions, noise, x_shape)
        moments = [
            jax.tree.map(lambda leaf, i=i: leaf[i], report["q"])
            for report, (num, *_) in zip(reports, self.latent_shapes(x_shape), strict=True)
            for i in range(num)
        ]
        return posteriors | dict(zip(self.latent_names, moments, strict=True))

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
            u = q.sample(jax.random.normal(code_rng, q.mean.shape))
            conditions = self.conditions(params, stats, u, x_shape)
        features: list[Any] = list(self.features(params, images))
        if num_scales is not None:
            features[num_scales:] = [None] * len(features[num_scales:])
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
        if num_scales == 0 and self.prior is not None and not self.over_code:
            raise UserError("with a prior over z_L nothing is reconstructed from num_scales=0")
        scaled = self._scaled(images)
        return self.likelihood.mean(self._posterior_pass(params, stats, scaled, rng, num_scales)[0])

    def latent_means(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, num: int = 2
    ) -> Float[Array, "b {num} units"]:
        """Posterior means [B, num, units] of all latents, z_L first, at `num` joint draws."""
        images = self._scaled(batch.input)

        def one(key: Key) -> Array:
            _, reports = self._posterior_pass(params, stats, images, key)
            means = [jnp.swapaxes(r["q"].mean, 0, 1).reshape(len(images), -1) for r in reports]
            return jnp.concatenate(means, axis=1)

        return jnp.swapaxes(jax.lax.map(one, jax.random.split(rng, num)), 0, 1)


make = HVAE
