"""The generative model of the diffusion priors: a denoiser, a schedule, and samples of them."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.diffusion import process, samplers
from vdp.diffusion.schedules import Schedule
from vdp.errors import UserError
from vdp.nets import stateful
from vdp.types import Array

CHOICES = {
    "parameterization": process.PARAMETERIZATIONS,
    "form": ("separate", "merged"),
    "bound": ("continuous", "discrete", "ode"),
}


def check_choices(fields, choices: dict[str, tuple[str, ...]]) -> None:
    """Raises UserError for a field of `fields`, an object, outside its list."""
    for field, accepted in choices.items():
        given = getattr(fields, field)
        if given not in accepted:
            raise UserError(f"{field}={given!r} is not one of {', '.join(accepted)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionModel:
    """A denoiser network and a schedule, as one of three models of a latent z.

    Separate form: y_0 of the diffusion, then z ~ N(y_0/alpha_0, exp gamma_0). Merged form (VDM's
    own): z = y_0/alpha_0. They are different generative models.

    Attributes:
      denoiser: net(y, time, train) -> array of y's shape.
      schedule: gamma(t), possibly learned.
      parameterization: what the network's output is: "v" (starts at the optimal denoiser of
        N(0, I) when the output starts at zero), "eps" or "x0".
      form: "separate" or "merged".
      bound: "continuous" (T = infinity), "discrete" (T = num_steps) or "ode" (the density of the
        probability flow: for evaluation, it is not trained).
      num_steps: T of the ancestral sampler, the path weight and the discrete bound.
      ode_steps: of the ODE solver.
    """

    denoiser: nn.Module
    schedule: Schedule
    parameterization: str = "v"
    form: str = "separate"
    bound: str = "continuous"
    num_steps: int = 100
    ode_steps: int = 32

    def __post_init__(self):
        check_choices(self, CHOICES)
        if min(self.num_steps, self.ode_steps) < 1:
            raise UserError("num_steps and ode_steps must be at least 1")

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

    def discretized(self, num_steps: int | None = None):
        """The T-step model with the same parameters: what the ancestral sampler draws from."""
        return dataclasses.replace(self, bound="discrete", num_steps=num_steps or self.num_steps)

    def as_ode(self, *, coarser: int = 1):
        """The probability-flow model with the same parameters; `coarser` divides ode_steps."""
        steps = max(1, self.ode_steps // coarser)
        return dataclasses.replace(self, bound="ode", ode_steps=steps)

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {"denoiser", "schedule"} parameters and no stats."""
        y, time = jnp.zeros((1, *z_shape)), jnp.zeros((1,))
        denoiser = stateful.init_stateless(self.denoiser, rng, y, time, role="a denoiser")
        return {"denoiser": denoiser, "schedule": self.schedule.init()}, {}

    def posterior_log_var(self, params) -> Array:
        """Log-variance of z given its code in the merged form: gamma_0."""
        return self._gamma(params)(jnp.float32(0))

    def eps_fn(self, params, dropout_rng=None):
        """Returns (y, gamma) -> eps_hat; with a `dropout_rng` in training mode."""
        train = dropout_rng is not None

        def apply(y, gamma):
            output: Any = self.denoiser.apply(
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

    def check_sampler(self, **options) -> None:
        """Raises UserError for options of `sample` that mean nothing."""
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
          sampler: "ancestral" (the T-step model itself; default), "ddim", "dpmpp" or "ode" (the
            default of bound="ode").
          sampler_steps: 0 for num_steps (ode: ode_steps); another number is another model.
          eta: of ddim.
          temperature: factor on the standard deviations of the ancestral steps and of z's own.
        """
        options = dict(sampler=sampler, sampler_steps=sampler_steps, eta=eta)
        options["temperature"] = temperature
        return self.denoising(params, rng, num, z_shape=z_shape, **options)[0]
