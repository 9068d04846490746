"""What the diffusion priors share: a denoiser, a schedule, and every estimate made of them.

Separate form: z ~ q(z|x) keeps its own learned variances and the diffusion adds its noise on top,
so that every prior can be compared on one posterior; the rate is H[q] - L0 - L1 - LT. Merged form
(VDM's own): the mean of q is a code c and z = y_0/alpha_0 = c + exp(gamma_0/2) eps is the latent;
the rate is -L1(c) - LT(c). They are different generative models.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.diffusion import bounds, ode, paths, process, samplers, times
from vdp.diffusion.schedules import Schedule
from vdp.types import Array, Noise, Terms

CHOICES = {
    "parameterization": process.PARAMETERIZATIONS,
    "form": ("separate", "merged"),
    "bound": ("continuous", "discrete", "ode"),
    "weights": bounds.WEIGHTS,
    "times": ("low_discrepancy", "importance"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionPrior:
    """A denoiser network, a schedule, and how the bound is estimated.

    Attributes:
      denoiser: net(y, time, train) -> array of y's shape.
      schedule: gamma(t), possibly learned.
      parameterization: what the network's output is: "v" (starts at the optimal denoiser of
        N(0, I) when the output starts at zero), "eps" or "x0".
      form: "separate" or "merged"; see the top of the module.
      bound: "continuous" (T = infinity), "discrete" (T = num_steps) or "ode" (the density of the
        probability flow).
      weights: of the gradient, see `vdp.diffusion.bounds`; what is reported is the bound always.
      times: of training: "low_discrepancy" (uniform) or "importance" (as of N(0, I) data).
      num_steps: T of the ancestral sampler, the path weight and the discrete bound.
      num_times: diffusion times per example in a reported continuous bound.
      num_strata: steps per example in a reported T-step bound, one drawn from each of as many
        strata; 0 sums all T of them.
      sequential: whether those of a report are looked at one after the other, for large latents.
      ode_steps: of the ODE solver.
      ode_probes: Hutchinson probes of the ODE's divergence in a bound; 0 computes it exactly, as an
        importance weight always does.
    """

    denoiser: nn.Module
    schedule: Schedule
    parameterization: str = "v"
    form: str = "separate"
    bound: str = "continuous"
    weights: str = "bound"
    times: str = "low_discrepancy"
    num_steps: int = 100
    num_times: int = 32
    num_strata: int = 0
    sequential: bool = False
    ode_steps: int = 32
    ode_probes: int = 0

    def __post_init__(self):
        for field, accepted in CHOICES.items():
            if getattr(self, field) not in accepted:
                given = getattr(self, field)
                raise ValueError(f"{field}={given!r} is not one of {', '.join(accepted)}")
        if min(self.num_steps, self.ode_steps) < 1 or self.num_times < 32 or self.ode_probes < 0:
            raise ValueError(
                "num_steps and ode_steps must be at least 1, num_times at least 32 (reported), "
                "ode_probes at least 0"
            )
        if self.num_strata and self.num_strata < 32:
            raise ValueError("num_strata must be at least 32 (reported), or 0 for all steps")
        if self.times == "importance" and self.weights != "bound":
            raise ValueError("importance-sampled times are those of the bound: weights='bound'")
        if self.times == "importance" and "shape" in self.schedule.init():
            raise ValueError("times='importance' and a schedule of learned shape do the same twice")

    @property
    def merged(self) -> bool:
        """Whether q is a code, and the posterior's noise the diffusion's own."""
        return self.form == "merged"

    @property
    def bound_model(self) -> str:
        """The model `rate` belongs to."""
        return "T=inf" if self.bound == "continuous" else self.weight_model

    @property
    def weight_model(self) -> str:
        """The model `log_prob_weight` belongs to."""
        return "ode" if self.bound == "ode" else f"T={self.num_steps}"

    @property
    def note(self) -> str | None:
        """What has to stand beside a number of this model."""
        grid = self.schedule.grid
        if not grid or (self.bound == "discrete" and self.num_steps == grid):
            return None
        return f"a table of {grid} betas, gamma interpolated linearly in t"

    def discretized(self, num_steps: int | None = None) -> "DiffusionPrior":
        """The T-step model with the same parameters: what the ancestral sampler draws from."""
        return dataclasses.replace(self, bound="discrete", num_steps=num_steps or self.num_steps)

    def as_ode(self, *, coarser: int = 1) -> "DiffusionPrior":
        """The probability-flow model with the same parameters; `coarser` divides ode_steps."""
        steps = max(1, self.ode_steps // coarser)
        return dataclasses.replace(self, bound="ode", ode_steps=steps)

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {"denoiser", "schedule"} parameters and no stats."""
        y, time = jnp.zeros((1, *z_shape)), jnp.zeros((1,))
        denoiser = self.denoiser.init(rng, y, time).get("params", {})
        return {"denoiser": denoiser, "schedule": self.schedule.init()}, {}

    def posterior_log_var(self, params) -> Array:
        """Log-variance of z given its code in the merged form: gamma_0."""
        return self._gamma(params)(jnp.float32(0))

    def eps_fn(self, params, dropout_rng=None):
        """Returns (y, gamma) -> eps_hat; with a `dropout_rng` in training mode."""
        train = dropout_rng is not None

        def apply(y, gamma):
            output = self.denoiser.apply(
                {"params": params["denoiser"]},
                y,
                self.schedule.rescaled(gamma),
                train=train,
                rngs={"dropout": dropout_rng} if train else None,
            )
            return process.to_eps(output, y, gamma, self.parameterization)

        return apply

    def _gamma(self, params, live: str = "all"):
        return self.schedule.bind(params["schedule"], live=live)

    def draw(self, rng, num, z_shape, *, purpose) -> Noise:
        """Posterior noise "z" and, by purpose, times and their noise, or the "path" noise."""
        z_rng, rest_rng = jax.random.split(rng)
        shape = (num, *z_shape)
        noise = {"z": jax.random.normal(z_rng, shape)}
        if self.bound == "ode" and purpose != "loss":
            probes = 0 if purpose == "weight" else self.ode_probes
            return noise | ode.draw(rest_rng, shape, probes)
        if purpose == "weight":
            path_shape = (num, self.num_steps + 1, *z_shape)
            return noise | {"path": jax.random.normal(rest_rng, path_shape)}
        if purpose == "loss":
            grid, num_times = lambda rng, num, _: times.low_discrepancy(rng, num), 1
        elif self.bound == "discrete" and not 0 < self.num_strata < self.num_steps:
            grid, num_times = lambda _, num, steps: times.every_step(num, steps), self.num_steps
        elif self.bound == "discrete":
            grid, num_times = times.stratified, self.num_strata
        else:
            grid, num_times = times.stratified, self.num_times
        drawn = bounds.draw(rest_rng, shape, grid, num_times)
        if purpose == "loss" and self.times == "importance":
            drawn["u"] = drawn.pop("t")
        return noise | drawn

    def _bound(self, params, z, noise, dropout_rng=None) -> Terms:
        """Lower bound on log r(z), for the code z in the merged form without its L0."""
        if "y_0" in noise:
            return Terms.of(density=self._ode_weight(params, z, noise))
        eps_fn = self.eps_fn(params, dropout_rng)
        how = dict(noise=noise, weights=self.weights, sequential=self.sequential)
        if self.bound == "discrete":
            terms = bounds.discrete(eps_fn, self._gamma(params), z, num_steps=self.num_steps, **how)
        else:
            terms = bounds.continuous(eps_fn, self._gamma(params, "ends"), z, **how)
            if dropout_rng is not None and "shape" in params["schedule"] and "t" in noise:
                inner = self._gamma(params, "shape")
                objective = bounds.shape_objective(eps_fn, inner, z, noise)
                terms.parts["diffusion"] = terms.parts["diffusion"] - objective
        if self.merged:
            del terms.parts["latent_0"]
        return Terms.of(**terms.parts)

    def _ode_weight(self, params, z, noise) -> Array:
        gamma, eps_fn = self._gamma(params), self.eps_fn(params)
        return ode.log_weight(eps_fn, gamma, z, noise, num_steps=self.ode_steps, merged=self.merged)

    def rate(
        self, params, stats, q, rng, *, encode=None, noise=None, train=False
    ) -> tuple[Array, Terms]:
        """Z ~ q and the rate's parts; separate {"entropy", "latent_0", "latent_1", "diffusion"}.

        Merged: {"latent_1", "diffusion"}. With the ODE "density" stands for the diffusion's parts.
        """
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="elbo") if noise is None else noise
        dropout_rng = rng if train else None
        if self.merged:
            if "y_0" in noise:  # the ODE's y_0 is the latent itself
                noise = noise | {"z": noise["y_0"]}
            return q.sample(noise["z"]), self._bound(params, q.mean, noise, dropout_rng)
        z = q.sample(noise["z"])
        return z, Terms.of(entropy=q.entropy()) + self._bound(params, z, noise, dropout_rng)

    def log_prob_bound(self, params, stats, z, rng, *, encode=None, probes=None) -> Terms:
        """The lower bound on log r(z); merged, where z is y_0/alpha_0, its density by the ODE."""
        if self.merged:
            gamma, eps_fn = self._gamma(params), self.eps_fn(params)
            alpha_0 = process.alpha(gamma(jnp.float32(0)))
            how = dict(num_steps=self.ode_steps, num_probes=self.ode_probes, probes=probes)
            density = ode.log_prob(eps_fn, gamma, alpha_0 * z, rng, **how)
            return Terms.of(density=density + z[0].size * jnp.log(alpha_0))
        return self._bound(params, z, self.draw(rng, len(z), z.shape[1:], purpose="elbo"))

    def log_prob_weight(self, params, stats, q, rng, *, encode=None, noise=None):
        """Z ~ q and log r(z, path)/q(z, path|x) at one draw: exact path weight, or ODE density."""
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="weight") if noise is None else noise
        if "probes" in noise:
            raise ValueError(
                "Hutchinson's estimate may not stand in an IWAE exponent: ode_probes=0"
            )
        if "y_0" in noise:
            z = q.sample(noise["y_0"] if self.merged else noise["z"])
            code = q.mean if self.merged else z
            weight = self._ode_weight(params, code, noise)
            return z, weight if self.merged else weight - q.log_prob(z)
        gamma, eps_fn = self._gamma(params), self.eps_fn(params)
        if self.merged:
            y_0, weight = paths.walk(eps_fn, gamma, q.mean, noise["path"])
            return y_0 / process.alpha(gamma(jnp.float32(0))), weight
        z = q.sample(noise["z"])
        return z, paths.log_weight(eps_fn, gamma, z, noise["path"]) - q.log_prob(z)

    def check_sampler(self, **options) -> None:
        """Raises ValueError for options of `sample` that mean nothing."""
        samplers.check(**options)

    def denoising(
        self, params, rng, num: int, *, z_shape, sampler="", sampler_steps=0, **options
    ) -> tuple[Array, Array]:
        """(z [num, *z_shape], z_hat [T, num, *z_shape] at every step); arguments of `sample`."""
        sampler = sampler or ("ode" if self.bound == "ode" else "ancestral")
        steps = sampler_steps or (self.ode_steps if sampler == "ode" else self.num_steps)
        path_rng, end_rng = jax.random.split(rng)
        gamma, eps_fn, shape = self._gamma(params), self.eps_fn(params), (num, *z_shape)
        y_0, denoised = samplers.draw(
            sampler, eps_fn, gamma, path_rng, shape, num_steps=steps, **options
        )
        gamma_0 = gamma(jnp.float32(0))
        z = y_0 / process.alpha(gamma_0)
        if not self.merged:
            std = options.get("temperature", 1.0) * jnp.exp(0.5 * gamma_0)
            z = z + std * jax.random.normal(end_rng, shape)
        return z, denoised

    def sample(  # noqa: D417
        self,
        params,
        stats,
        rng,
        num,
        *,
        z_shape,
        encode=None,
        sampler: str = "",
        sampler_steps: int = 0,
        eta: float = 0.0,
        temperature: float = 1.0,
    ) -> Array:
        """[num, *z_shape] draws.

        Args:
          params, stats, rng, num, z_shape, encode: as of every prior.
          sampler: "ancestral" (the T-step model itself; default), "ddim", "dpmpp" or "ode".
          sampler_steps: 0 for num_steps (ode: ode_steps); another number is another model.
          eta: of ddim.
          temperature: factor on the standard deviations of the ancestral steps and of z's own.
        """
        options = dict(sampler=sampler, sampler_steps=sampler_steps, eta=eta)
        options["temperature"] = temperature
        return self.denoising(params, rng, num, z_shape=z_shape, **options)[0]
