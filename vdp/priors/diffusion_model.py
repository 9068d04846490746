"""The generative model of the diffusion priors: a denoiser, a schedule, and samples of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp.diffusion import process, samplers
from vdp.diffusion.noise import draw_for, expect, expect_shape, required
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.schedules import Schedule
from vdp.errors import UserError
from vdp.nets import stateful
from vdp.priors.noise import SamplerNoise
from vdp.settings.rules import Size
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Shape, Stats

SameModel = TypeVar("SameModel", bound="DiffusionModel")
SAMPLE = "a sample of a diffusion prior"

CHOICES = {
    "parameterization": process.PARAMETERIZATIONS,
    "form": ("separate", "merged"),
    "bound": ("continuous", "discrete", "ode"),
}


def check_choices(fields: object, choices: dict[str, tuple[str, ...]]) -> None:
    """Raises UserError for a field of `fields`, an object, outside its list."""
    for field, accepted in choices.items():
        given = getattr(fields, field)
        if given not in accepted:
            raise UserError(f"{field}={given!r} is not one of {', '.join(accepted)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionModel:
    """A denoiser network and a schedule, as one of three models of a latent z.

    Separate form: y_0 of the diffusion, then z ~ N(y_0/alpha_0, exp gamma_0). Merged form (VDM's
    own): z = y_0/alpha_0. They are different generative models. `vdp.priors` says what the
    arguments of all methods are.

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
    num_steps: Size = 100
    ode_steps: Size = 32

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

    def discretized(self: SameModel, num_steps: int | None = None) -> SameModel:
        """The T-step model with the same parameters: what the ancestral sampler draws from."""
        return dataclasses.replace(self, bound="discrete", num_steps=num_steps or self.num_steps)

    def as_ode(self: SameModel, *, coarser: int = 1) -> SameModel:
        """The probability-flow model with the same parameters; `coarser` divides ode_steps."""
        steps = max(1, self.ode_steps // coarser)
        return dataclasses.replace(self, bound="ode", ode_steps=steps)

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"denoiser", "schedule"} parameters and no stats."""
        y, time = jnp.zeros((1, *z_shape)), jnp.zeros((1,))
        denoiser = stateful.init_stateless(self.denoiser, rng, y, time, role="a denoiser")
        return {"denoiser": denoiser, "schedule": self.schedule.init()}, {}

    def posterior_log_var(self, params: Params) -> Float[Array, ""]:
        """Log-variance of z given its code in the merged form: gamma_0."""
        return self._gamma(params)(jnp.float32(0))

    def eps_fn(self, params: Params, dropout_rng: Key | None = None) -> EpsFn:
        """Returns (y, gamma) -> eps_hat; with a `dropout_rng` in training mode."""
        train = dropout_rng is not None
        rngs = None if dropout_rng is None else {"dropout": dropout_rng}

        def apply(y: Float[Array, "n *s"], gamma: Float[Array, "n"]) -> Float[Array, "n *s"]:
            output: Any = self.denoiser.apply(
                {"params": params["denoiser"]},
                y,
                self.schedule.rescaled(gamma),
                train=train,
                rngs=rngs,
            )
            return process.to_eps(output, y, gamma, self.parameterization)

        return apply

    def _gamma(self, params: Params, live: str = "all") -> Gamma:
        """The schedule with its parameters; `live` as of `Schedule.bind`."""
        return self.schedule.bind(params["schedule"], live=live)

    def check_sampler(self, **options: Any) -> None:
        """Raises UserError for options of `sample` that mean nothing, as `samplers.check` does."""
        options.pop("last_noise", None)
        samplers.check(**options)

    def _sampler(self, sampler: str = "", sampler_steps: int = 0) -> tuple[str, int]:
        """(name, number of steps) of a sampler, where "" and 0 are this model's."""
        sampler = sampler or ("ode" if self.bound == "ode" else "ancestral")
        return sampler, sampler_steps or (self.ode_steps if sampler == "ode" else self.num_steps)

    def _sample_noise(self, rng: Key, num: int, z_shape: Shape, **options: Any) -> SamplerNoise:
        """What `sample` of the same key and options makes `num` latents of.

        Raises:
          UserError: as of `check_sampler`.
        """
        self.check_sampler(**options)
        chosen = {name: options[name] for name in ("sampler", "sampler_steps") if name in options}
        sampler, steps = self._sampler(**chosen)
        path_rng, end_rng = jax.random.split(rng)
        shape, eta = (num, *z_shape), options.get("eta", 0.0)
        drawn = draw_for(sampler, path_rng, shape, num_steps=steps, eta=eta)
        return SamplerNoise(sampler=drawn, end=jax.random.normal(end_rng, shape))

    def denoising(
        self,
        params: Params,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        sampler: str = "",
        sampler_steps: int = 0,
        last_noise: bool = True,
        noise: Noise = None,
        **options: Any,
    ) -> tuple[Float[Array, "{num} *s"], Float[Array, "t {num} *s"]]:
        """Draws z [num, *z_shape], and z_hat [T, num, *z_shape] at every step.

        Arguments and errors as of `sample`.
        """
        sampler, steps = self._sampler(sampler, sampler_steps)
        gamma, eps_fn, shape = self._gamma(params), self.eps_fn(params), (num, *z_shape)
        path_rng, of_sampler = None, None
        end: Callable[[], Array]
        if noise is None:
            path_rng, end_rng = jax.random.split(required(rng, by=SAMPLE))
            end = lambda: jax.random.normal(end_rng, shape)
        else:
            expect(noise, SamplerNoise, by=SAMPLE, instead="it draws it for purpose='sample'")
            expect_shape(noise.end, shape, by=SAMPLE)
            of_sampler, end = noise.sampler, lambda: noise.end
        y_0, denoised = samplers.draw(
            sampler, eps_fn, gamma, path_rng, shape, num_steps=steps, noise=of_sampler, **options
        )
        gamma_0 = gamma(jnp.float32(0))
        z = y_0 / process.alpha(gamma_0)
        if not self.merged and last_noise:
            std = options.get("temperature", 1.0) * jnp.exp(0.5 * gamma_0)
            z = z + std * end()
        return z, denoised

    def sample(  # noqa: D417
        self,
        params: Params,
        stats: Stats,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        sampler: str = "",
        sampler_steps: int = 0,
        eta: float = 0.0,
        temperature: float = 1.0,
        clip: float = 0.0,
        last_noise: bool = True,
        noise: Noise = None,
    ) -> Float[Array, "{num} *s"]:
        """Draws z [num, *z_shape].

        `params`, `stats`, `rng`, `num`, `z_shape` and `encode` are as of every prior, see
        `vdp.priors`.

        Args:
          sampler: "ancestral" (the T-step model itself; default), "ddim", "dpmpp" or "ode" (the
            default of bound="ode").
          sampler_steps: 0 for num_steps (ode: ode_steps); another number is another model.
          eta: of ddim.
          temperature: factor on the standard deviations of the ancestral steps, and of z given y_0.
          clip: z_hat is clipped to [-clip, clip] at every step; 0 leaves it as it is.
          last_noise: whether z is drawn given y_0 (separate form); otherwise it is y_0/alpha_0.
          noise: instead of rng, of `draw` for purpose="sample" and the same options.

        Raises:
          UserError: as of `check_sampler`, or a noise of another sampler or number of steps.
        """
        return self.denoising(
            params,
            rng,
            num,
            z_shape=z_shape,
            sampler=sampler,
            sampler_steps=sampler_steps,
            eta=eta,
            temperature=temperature,
            clip=clip,
            last_noise=last_noise,
            noise=noise,
        )[0]
