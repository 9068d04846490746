"""The generative models of the diffusion priors: what a denoiser and a schedule stand for."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from vdp.diffusion import chains, process, reverse
from vdp.diffusion.chains import Chain
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.schedules import Schedule
from vdp.errors import UserError
from vdp.nets import stateful
from vdp.settings.rules import Checked, OneOf, Size
from vdp.types import Array, Key, Levels, Params, Shape, Stats

SameModel = TypeVar("SameModel", bound="DiffusionModel")

Bound = Annotated[str, OneOf("continuous", "discrete", "ode")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionModel(Checked):
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
      reverse: the variances and times of that chain's steps: "fixed" or "learned", or for a trained
        prior one of those that `fitted` sets (`vdp.diffusion.chains`).
      ode_steps: of the ODE solver.
    """

    denoiser: nn.Module
    schedule: Schedule
    parameterization: Annotated[str, OneOf(*process.PARAMETERIZATIONS)] = "v"
    form: Annotated[str, OneOf("separate", "merged")] = "separate"
    bound: Bound = "continuous"
    num_steps: Size = 100
    reverse: Annotated[str, OneOf(*chains.TRAINED, *chains.FITTED)] = "fixed"
    ode_steps: Size = 32

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
        if self.bound == "ode":
            return "ode"
        return f"T={self.num_steps}" + ("" if self.reverse == "fixed" else f", {self.reverse}")

    @property
    def note(self) -> str | None:
        """What has to stand beside a number of this model."""
        grid, even = self.schedule.grid, self.reverse in ("fixed", "calibrated")
        if not grid or (self.bound == "discrete" and self.num_steps == grid and even):
            return None
        return f"a table of {grid} betas, gamma interpolated linearly in t"

    def discretized(self: SameModel, num_steps: int | None = None) -> SameModel:
        """The T-step model with the same parameters: what the ancestral sampler draws from.

        A learned chain has only its own T; with another T the model has the fixed chain.
        """
        steps = num_steps or self.num_steps
        learned_for_others = self.reverse == "learned" and steps != self.num_steps
        reverse = "fixed" if learned_for_others else self.reverse
        return dataclasses.replace(self, bound="discrete", num_steps=steps, reverse=reverse)

    def fitted(self: SameModel, reverse: str, num_steps: int = 0) -> SameModel:
        """The model whose chain is fitted to measured errors, which its stats then hold.

        Args:
          reverse: one of `chains.FITTED`, or "fixed". A learned chain stays what it is.
          num_steps: T; 0 for the model's own.

        Raises:
          UserError: another T than that of a learned chain.
        """
        steps = num_steps or self.num_steps
        if self.reverse != "learned":
            return dataclasses.replace(self, reverse=reverse, num_steps=steps)
        if steps != self.num_steps:
            raise UserError(
                f"the chain of {self.num_steps} steps was learned: leave eval.num_steps={steps} out"
            )
        return self

    def as_ode(self: SameModel, *, coarser: int = 1) -> SameModel:
        """The probability-flow model with the same parameters; `coarser` divides ode_steps."""
        steps = max(1, self.ode_steps // coarser)
        return dataclasses.replace(self, bound="ode", ode_steps=steps)

    def learned_chain(self, params: Params, errors: Mapping[str, Array], z_shape: Shape) -> Params:
        """Parameters "reverse" of a learned chain that starts as the optimised one.

        Args:
          params: of `init`, of a prior with the same denoiser and schedule.
          errors: the table of `vdp.diffusion.chains`.
          z_shape: of one latent.
        """
        fitted = dataclasses.replace(self, reverse="optimised")
        chain = fitted.chain(params, {"errors": errors}, z_shape)
        return chains.as_learned(chain, self.num_steps, z_shape)

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"denoiser", "schedule"} parameters, {"reverse"} of a learned chain; no stats.

        Raises:
          UserError: a chain that is fitted to a trained prior.
        """
        if self.reverse in chains.FITTED:
            raise UserError(
                f"reverse={self.reverse!r} is fitted after training: set config.eval.reverse, and "
                f"here {' or '.join(chains.TRAINED)}"
            )
        y, time = jnp.zeros((1, *z_shape)), jnp.zeros((1,))
        denoiser = stateful.init_stateless(self.denoiser, rng, y, time, role="a denoiser")
        params = {"denoiser": denoiser, "schedule": self.schedule.init()}
        if self.reverse == "learned":
            params["reverse"] = self._untrained_chain(params, z_shape)
        return params, {}

    def _untrained_chain(self, params: Params, z_shape: Shape) -> Params:
        """A learned chain's start: even times, with the widths that N(0, I) needs.

        Widths of q, as if the denoiser made no error, cost hundreds of nats there, from which a
        latent flees to where it carries nothing.
        """
        gamma, shape = self._gamma(params), (self.num_steps, *chains.widths_shape(z_shape))
        gammas = jnp.asarray(gamma(jnp.arange(self.num_steps + 1) / self.num_steps))
        gives = dict(gives_input=getattr(self.denoiser, "add_input", False))
        error = process.untrained_error(gammas[1:], self.parameterization, **gives)
        errors = jnp.broadcast_to(process.expand(error, jnp.zeros(shape)), shape)
        chain = Chain(gamma=gamma, log_v=reverse.best(errors, gammas))
        return chains.as_learned(chain, self.num_steps, z_shape)

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

    def chain(self, params: Params, stats: Stats, z_shape: Shape, num_steps: int = 0) -> Chain:
        """The chain of T steps: the gammas that it stops at, and the widths of its steps.

        Args:
          params: of `init`.
          stats: of `init`, with "errors" where the chain is fitted.
          z_shape: of one latent.
          num_steps: T; 0 for the model's own.

        Raises:
          UserError: a learned chain of another T.
        """
        gamma, steps = self._gamma(params), num_steps or self.num_steps
        if self.reverse == "calibrated":
            return chains.calibrated(gamma, stats["errors"], steps)
        if self.reverse == "optimised":
            return chains.optimised(gamma, stats["errors"], steps, z_shape)
        if self.reverse == "fixed":
            return Chain(gamma=gamma)
        if steps != self.num_steps:
            raise UserError(f"a learned chain of {self.num_steps} steps has no {steps} steps")
        return chains.learned(gamma, params["reverse"])
