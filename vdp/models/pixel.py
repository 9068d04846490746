"""Diffusion in pixel space: VDM (Kingma et al. 2021) and DDPM (Ho et al. 2020).

The merged form of the latent models with the image itself for a code: c = positions of the levels,
z = y_0/alpha_0 = c + e^{gamma_0/2} eps, and with the diffusion prior's rate L1 + LT

log p(x) >= E[log p(x | z)] - L1(c) - LT(c).

The likelihood's location is z (VDM: `categorical`) or the denoiser's z_hat (DDPM:
`discretized_normal`), its scale that of the noise at gamma_0.
"""

import dataclasses
import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float

from vdp import draws
from vdp.diffusion import process
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.models.base import WithPrior
from vdp.models.noise import BinNoise
from vdp.noise import expect
from vdp.priors.diffusion import DiffusionPrior
from vdp.priors.noise import DiffusionNoise
from vdp.settings.rules import Checked, OneOf
from vdp.types import (
    AnyArray,
    Array,
    Aux,
    Batch,
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
class PixelDiffusion(WithPrior, Checked):
    """A diffusion prior over images, and the distribution of a level given the cleanest z.

    Attributes:
      prior: of form "merged".
      likelihood: one with a location and a scale; the scale is the diffusion's.
      location: "noisy" (z itself; variance e^gamma_0) or "denoised" (z_hat of the network at
        gamma_0; variance sigma_0^2, which is beta_1 of a table).
      dequantization: how a level becomes a number for the ODE's density: "variational", the noise
        of y_0 together with the likelihood, log p(x|z) + log r(y_0) - log q(y_0|x); or "uniform"
        over the level's bin, log r(z) + D log(bin width). Both are bounds on log p(x); importance
        weights there are of the variational alone.
    """

    prior: DiffusionPrior
    likelihood: Any  # a `LocationScale` of masses
    location: Annotated[str, OneOf("noisy", "denoised")] = "noisy"
    dequantization: Annotated[str, OneOf("variational", "uniform")] = "variational"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.merged:
            raise UserError("a diffusion in pixel space needs a diffusion prior of form='merged'")
        if not hasattr(self.likelihood, "bin_width") or not self.likelihood.discrete:
            raise UserError(
                "a diffusion in pixel space needs the likelihood categorical, discretized_normal "
                "or discretized_logistic"
            )

    def prior_shape(self, x_shape: Shape) -> tuple[int, ...]:
        """Shape of what the prior is over: images."""
        return tuple(x_shape)

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """Parameters and stats, each {"prior"}."""
        params, stats = self.prior.init(rng, x_shape, x_shape=x_shape, data=data)
        return {"prior": params}, {"prior": stats}

    def posterior_of_levels(self, params: Params, images: Levels) -> Normal:
        """The posterior q(z|x) around the positions of integer levels, of variance e^gamma_0."""
        mean = self.likelihood.position(images)
        log_var = self.prior.posterior_log_var(params["prior"])
        return Normal(mean, jnp.broadcast_to(log_var, mean.shape))

    def prior_posterior(self, params: Params, stats: Stats, batch: Batch) -> Normal:
        """The posterior of what the prior is over: q(z|x)."""
        return self.posterior_of_levels(params, batch.target)

    def outputs(
        self, params: Params, z: Float[Array, "b h w c"], dropout_rng: Key | None = None
    ) -> Float[Array, "b h w 2*c"]:
        """The likelihood's location and log-scale [B, H, W, 2C] for z [B, H, W, C]."""
        gamma_0 = self.prior.posterior_log_var(params["prior"])
        if self.location == "noisy":
            location, log_var = z, gamma_0
        else:
            gamma = jnp.broadcast_to(gamma_0, z.shape[:1])
            y_0 = process.alpha(gamma_0) * z
            eps_hat = self.prior.eps_fn(params["prior"], dropout_rng)(y_0, gamma)
            location, log_var = process.denoise(y_0, gamma, eps_hat), -jax.nn.softplus(-gamma_0)
        log_scale = jnp.broadcast_to(0.5 * log_var, z.shape)
        return jnp.concatenate([location, log_scale], axis=-1)

    @property
    def _uniform(self) -> bool:
        return self.bound_model == "ode" and self.dequantization == "uniform"

    def draw(
        self, rng: Key, batch: Batch, *, purpose: Purpose = "loss"
    ) -> DiffusionNoise | BinNoise:
        """The prior's noise, whose `z` is that of z given the image; or that of the bins.

        Raises:
          UserError: weights by uniform dequantisation, or the prior's refusal.
        """
        shape = batch.target.shape
        if purpose == "weight":
            self._check_weight()
        noise = self.prior.draw(rng, shape[0], shape[1:], purpose=purpose)
        if not self._uniform:
            return noise
        bins_rng = jax.random.fold_in(rng, 1)
        bins = draws.uniform(bins_rng, shape, -0.5, 0.5)
        return BinNoise(bins=bins, prior=noise)

    def _check_weight(self) -> None:
        if self._uniform:
            raise UserError(
                "importance weights by the ODE are those of dequantization='variational': choose "
                "it, or evaluate with eval.estimators=elbo_ode"
            )

    def _uniform_terms(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, noise: Noise
    ) -> Terms:
        """The bound log r(z) + D log(bin width) at a z of the level's bin, by the ODE's density."""
        by, instead = "the bound by uniform dequantisation", "this model draws it"
        expect(noise, BinNoise, by=by, instead=instead)
        width = self.likelihood.bin_width
        z = self.likelihood.position(batch.target) + width * noise.bins
        density = self.prior.log_prob_bound(
            params["prior"], stats["prior"], z, rng, noise=noise.prior
        )
        volume = math.log(width) * z[0].size
        return density + Terms.of(bins=jnp.full(len(z), volume, jnp.float32))

    def _terms(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, noise: Noise, train: bool
    ) -> Terms:
        prior_rng, net_rng = jax.random.split(rng)
        if self._uniform:
            return self._uniform_terms(params, stats, batch, prior_rng, noise)
        q = self.posterior_of_levels(params, batch.target)
        z, minus_rate = self.prior.rate(
            params["prior"], stats["prior"], q, prior_rng, noise=noise, train=train
        )
        seen = params
        if train and self.prior.weights != "bound":
            held = stop_gradient(params["prior"])
            seen = {"prior": held | {"schedule": params["prior"]["schedule"]}}
        outputs = self.outputs(seen, z, net_rng if train else None)
        return Terms.of(likelihood=self.likelihood.log_prob(outputs, batch.target)) + minus_rate

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """Minus the bound, [B]; with equal weights the end terms train a learned schedule alone.

        Without what its two ends cost, such a schedule would move them for ever.
        """
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        terms = self._terms(params, stats, batch, rest_rng, noise, train)
        value = terms.value
        if self.is_student:
            value = stop_gradient(value - terms.parts["diffusion"]) + terms.parts["diffusion"]
        return -value, Aux(terms=terms, stats=stats, scalars={})

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]:
        """The weight log p(x|z) + log r(path) - log q(path|x) at one draw, [B]; sampled terms only.

        Raises:
          UserError: uniform dequantisation of the ODE, whose weights are others.
        """
        self._check_weight()
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="weight") if noise is None else noise
        q = self.posterior_of_levels(params, batch.target)
        z, weight = self.prior.log_prob_weight(
            params["prior"], stats["prior"], q, rest_rng, noise=noise
        )
        return self.likelihood.log_prob(self.outputs(params, z), batch.target) + weight

    def sample(
        self, params: Params, stats: Stats, rng: Key | None, num: int,
        *, x_shape: Shape, mean: bool = True, **kwargs: Any,
    ) -> Float[Array, "{num} h w c"]:  # fmt: skip
        """Draws images in [0, 1], [num, H, W, C]: the likelihood's means, or pixels from it."""
        prior_rng, pixel_rng = self._keys(rng, 2)
        z = self._from_prior(params, stats, prior_rng, num, z_shape=x_shape, **kwargs)
        return self._drawn_image(self.outputs(params, z), pixel_rng, mean)

    def prior_images(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b h w c"], x_shape: Shape
    ) -> Float[Array, "b h w c"]:
        """What z [B, H, W, C] looks like, in [0, 1]."""
        low, high = self.likelihood.position(jnp.array([0, self.likelihood.levels - 1]))
        return jnp.clip((z - low) / (high - low), 0, 1)


make = PixelDiffusion
