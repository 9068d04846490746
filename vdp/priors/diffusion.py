"""What the diffusion priors share: every estimate made of a denoiser and a schedule.

Separate form: z ~ q(z|x) keeps its own learned variances and the diffusion adds its noise on top,
so that every prior can be compared on one posterior; the rate, an upper bound on KL(q || r), is
L0 + L1 + LT - H[q]. Merged form: the mean of q is a code c and z = y_0/alpha_0 = c +
exp(gamma_0/2) eps is the latent; the rate is L1(c) + LT(c).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.diffusion import bounds, distillation, ode, paths, process, reverse
from vdp.diffusion.noise import ExactOde, HutchinsonOde
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.noise import required
from vdp.priors.diffusion_draws import ESTIMATE, DiffusionDraws
from vdp.types import Array, Encode, Key, Noise, Params, Stats, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionPrior(DiffusionDraws):
    """The estimates of a diffusion model's density, all made of its denoiser and schedule.

    `vdp.priors` says what the arguments of all methods are, `DiffusionModel` and `DiffusionDraws`
    have the fields.
    """

    def _bound(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        noise: Noise,
        dropout_rng: Key | None = None,
    ) -> Terms:
        """Lower bound on log r(z), for the code z in the merged form without its L0.

        A student's gradient in training is that of its distillation alone.

        Args:
          params: of `init`.
          stats: of `init`, with "errors" where the chain is fitted.
          z: latents or codes, [B, *z_shape].
          noise: the diffusion's alone, a structure of `vdp.diffusion.noise`.
          dropout_rng: of training.

        Raises:
          UserError: a noise of another estimate.
        """
        eps_fn = self.eps_fn(params, dropout_rng)
        if self.bound == "ode":
            steps, gamma = self.ode_steps, self._gamma(params)
            density = ode.log_ratio(eps_fn, gamma, z, noise, num_steps=steps, merged=self.merged)
            return Terms.of(density=density)
        options: Any = dict(noise=noise, weights=self.weights, sequential=self.sequential)
        if self.bound == "discrete":
            chain = self.chain(params, stats, z.shape[1:])
            options |= dict(num_steps=self.num_steps, log_v=chain.log_v)
            terms = bounds.discrete(eps_fn, chain.gamma, z, **options)
        else:
            terms = bounds.continuous(eps_fn, self._gamma(params, "ends"), z, **options)
            if dropout_rng is not None and "shape" in params["schedule"]:
                inner = self._gamma(params, "shape")
                objective = bounds.shape_objective(eps_fn, inner, z, noise)
                terms.parts["diffusion"] = terms.parts["diffusion"] - objective
        aside = {}
        if self.teacher_steps and dropout_rng is not None:
            taught = distillation.objective(
                eps_fn, self.eps_fn(stats["teacher"]), self._gamma(params), z, noise,
                num_steps=self.num_steps, teacher_steps=self.teacher_steps,
            )  # fmt: skip
            aside["distillation"] = jax.lax.stop_gradient(taught)
            parts = jax.lax.stop_gradient(terms.parts)
            parts["diffusion"] = parts["diffusion"] - (taught - aside["distillation"])
            terms = Terms.of(**parts)
        if self.merged:
            del terms.parts["latent_0"]
        return dataclasses.replace(Terms.of(**terms.parts), aside=aside)

    def rate(
        self,
        params: Params,
        stats: Stats,
        q: Normal,
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
        train: bool = False,
    ) -> tuple[Float[Array, "b *s"], Terms]:
        """Draws z ~ q, and *minus* the rate in parts; its mean is at most -KL(q || r).

        Separate {"entropy", "latent_0", "latent_1", "diffusion"}, merged {"latent_1", "diffusion"};
        with the ODE "density" stands for the diffusion's parts.

        Raises:
          UserError: a noise of another estimate than this prior's, or training of bound="ode".
        """
        if train:
            self._check_training()
        noise = self._resolve_noise(noise, rng, q.mean.shape, "elbo")
        drawn, dropout_rng = noise.diffusion, rng if train else None
        if self.merged:
            flows = isinstance(drawn, ExactOde | HutchinsonOde)  # the ODE's y_0 is the latent
            z = q.sample(drawn.y_0 if flows else noise.z)
            return z, self._bound(params, stats, q.mean, drawn, dropout_rng)
        z = q.sample(noise.z)
        bound = self._bound(params, stats, z, drawn, dropout_rng)
        return z, Terms.of(entropy=q.entropy()) + bound

    def log_prob_bound(  # noqa: D417
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
    ) -> Terms:
        """A lower bound on log r(z); merged, where z is y_0/alpha_0, its density by the ODE.

        `params`, `stats`, `z`, `rng` and `encode` are as of every prior, see `vdp.priors`.

        Args:
          noise: instead of rng, of `draw` for purpose="elbo"; its z is not looked at.

        Raises:
          UserError: the merged form with another bound than "ode", or a noise of another estimate.
        """
        if not self.merged:
            noise = self._resolve_noise(noise, rng, z.shape, "elbo")
            return self._bound(params, stats, z, noise.diffusion)
        if self.bound != "ode":
            raise UserError(
                f"a latent of the merged form has no bound under the model {self.bound_model}, but "
                "a density under the ODE: ask the prior `as_ode()`"
            )
        if noise is not None:
            probes = ode.probes_of(self._resolve_noise(noise, rng, z.shape, "elbo").diffusion)
        elif self.ode_probes:
            probes = ode.rademacher(required(rng, by=ESTIMATE), z.shape, self.ode_probes)
        else:
            probes = None
        gamma, eps_fn = self._gamma(params), self.eps_fn(params)
        alpha_0 = process.alpha(gamma(jnp.float32(0)))
        steps = self.ode_steps
        density = ode.log_prob(eps_fn, gamma, alpha_0 * z, num_steps=steps, probes=probes)
        return Terms.of(density=density + z[0].size * jnp.log(alpha_0))

    def log_prob_weight(
        self,
        params: Params,
        stats: Stats,
        q: Normal,
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
    ) -> tuple[Float[Array, "b *s"], Float32[Array, "b"]]:
        """Draws z ~ q, and log r(z, path)/q(z, path|x): the exact path weight, or ODE density.

        Raises:
          UserError: a noise of another estimate, a path of another T, or Hutchinson's probes.
        """
        noise = self._resolve_noise(noise, rng, q.mean.shape, "weight")
        drawn, eps_fn = noise.diffusion, self.eps_fn(params)
        code = q.mean if self.merged else q.sample(noise.z)
        if self.bound == "ode":
            options: Any = dict(num_steps=self.ode_steps, merged=self.merged)
            weight = ode.log_weight(eps_fn, self._gamma(params), code, drawn, **options)
            if self.merged:
                return q.sample(drawn.y_0), weight
            return code, weight - q.log_prob(code)
        if (steps := paths.num_steps_of(drawn)) != self.num_steps:
            raise UserError(f"a path of {steps} steps is none of the model {self.weight_model}")
        chain = self.chain(params, stats, code.shape[1:])
        path = (eps_fn, chain.gamma, code, drawn)
        if self.merged:
            y_0, weight = paths.walk(*path, log_v=chain.log_v)
            return y_0 / process.alpha(chain.gamma(jnp.float32(0))), weight
        weight = paths.log_weight(*path, log_v=chain.log_v)
        return code, weight - q.log_prob(code)

    def errors(
        self, params: Params, q: Normal, rng: Key, num: int
    ) -> tuple[Float32[Array, "m"], Float[Array, "m b *s"]]:
        """What a chain is fitted to: the denoiser's squared errors at even times, for z ~ q.

        In the merged form the code is diffused in place of z. Arguments and results as of
        `reverse.squared_errors`.
        """
        z_rng, rng = jax.random.split(rng)
        z = q.mean if self.merged else q.sample(draws.normal(z_rng, q.mean.shape))
        return reverse.squared_errors(self.eps_fn(params), self._gamma(params), z, rng, num)
