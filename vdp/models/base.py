"""What every model around a prior shares: whose bound it is, and the other models it stands for."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp.dists import Normal
from vdp.errors import UserError
from vdp.levels import to_unit
from vdp.models import stages
from vdp.noise import required
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import (
    Array,
    Batch,
    Chained,
    DiffusionLike,
    Encode,
    Key,
    Levels,
    Noise,
    Params,
    Placed,
    Shape,
    Stats,
    Terms,
)


class WithPrior:
    """Base of models with `likelihood`, `input_levels` and a `prior`, which may be None.

    They define `draw`, `prior_shape` and `_terms(params, stats, batch, rng, noise, train)`, the
    bound's Terms.
    """

    likelihood: Any
    prior: Any
    input_levels: int
    draw: Callable[..., Any]
    prior_shape: Callable[..., tuple[int, ...]]
    _terms: Callable[..., Terms]

    @property
    def discrete(self) -> bool:
        """Whether the data's probabilities are masses, so that bits/dim are defined."""
        return self.likelihood.discrete

    @property
    def bound_model(self) -> str:
        """The model `elbo` bounds."""
        return "exact" if self.prior is None else self.prior.bound_model

    @property
    def weight_model(self) -> str:
        """The model `log_weight` estimates."""
        return "exact" if self.prior is None else self.prior.weight_model

    @property
    def merged(self) -> bool:
        """Whether the posterior's noise is the diffusion prior's own."""
        return isinstance(self.prior, DiffusionLike) and self.prior.merged

    @property
    def is_student(self) -> bool:
        """Whether the prior learns from the denoiser of another run."""
        return stages.is_student(self.prior)

    @property
    def held_parameters(self) -> tuple[str, ...]:
        """What no update of the optimiser may move: a student has its teacher's schedule."""
        return ("prior/schedule",) if self.is_student else ()

    @property
    def unshrunk_parameters(self) -> tuple[str, ...]:
        """What L2 leaves: the points of a prior, which it would all draw to one.

        The loss has K times less of a gradient for each of K.
        """
        names = self.prior.points if isinstance(self.prior, Placed) else ()
        return tuple(f"prior/{name}" for name in names)

    @property
    def shows_prior(self) -> bool:
        """Whether what the prior is over can be looked at by itself (`prior_images`)."""
        return True

    def check_floor(self, floor: float) -> None:
        """Refuses a separate diffusion prior blunter than log-variances of z may be; UserError."""
        if not isinstance(self.prior, DiffusionPrior):
            return
        schedule = self.prior.schedule
        if schedule.gamma_0_max > floor:
            raise UserError(
                f"the prior's gamma_0 may reach {schedule.gamma_0_max:.4g}, above the floor "
                f"{floor:.4g} of the posterior's log-variance: the prior cannot be sharper than "
                "exp(gamma_0), so lower gamma_0 (gamma_0_max where it is learned) or raise "
                "log_var_floor (log_var_q of a hierarchy)"
            )

    def discretized(self) -> "WithPrior":
        """The model with the prior its sampler draws from; itself for exact priors."""
        if not isinstance(self.prior, DiffusionLike):
            return self
        model: Any = self  # a dataclass, like all that have fields
        return dataclasses.replace(model, prior=self.prior.discretized())

    def as_ode(self, **kwargs: Any) -> "WithPrior":
        """The model with the density of the prior's probability flow; itself for exact priors."""
        if not isinstance(self.prior, DiffusionLike):
            return self
        model: Any = self
        return dataclasses.replace(model, prior=self.prior.as_ode(**kwargs))

    def fitted(self, reverse: str, num_steps: int = 0) -> "WithPrior":
        """The model with the chain of its prior that is asked for; itself for priors without one.

        Arguments and errors as of `DiffusionModel.fitted`.
        """
        if not isinstance(self.prior, Chained):
            return self
        model: Any = self
        return dataclasses.replace(model, prior=self.prior.fitted(reverse, num_steps))

    def ascended(self) -> "WithPrior":
        """The model for gradients of the bound itself, whatever the prior was trained by."""
        if getattr(self.prior, "weights", "bound") == "bound":
            return self
        model: Any = self
        return dataclasses.replace(model, prior=dataclasses.replace(self.prior, weights="bound"))

    def check_sampler(self, **options: Any) -> None:
        """Refuses options of `sample` that the prior's sampler does not have, or cannot take.

        Raises:
          UserError: the option is named.
        """
        accepted = inspect.signature(self.prior.sample).parameters if self.prior else {}
        for option in options:
            if option == "z_temperature":
                raise UserError("sample.z_temperature is of hierarchies: leave it out")
            if option not in accepted or option == "noise":  # which is no setting of a sampler
                raise UserError(
                    f"the prior of this run is sampled exactly: there is no option {option!r}"
                )
        if isinstance(self.prior, DiffusionLike):
            self.prior.check_sampler(**options)
        if not options.get("temperature", 1.0) >= 0:
            raise UserError("sample.temperature must not be negative")

    def elbo(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Terms:
        """The bound with all its parts, [B] nats; analytic KLs where there are any."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="elbo") if noise is None else noise
        return self._terms(params, stats, batch, rest_rng, noise, False)

    def _log_prob_of_code(
        self, params: Params, stats: Stats, q: Normal, rng: Key, encode: Encode
    ) -> Float[Array, "b"]:
        """The prior's log density at the mean of q, or its bound on it, [B] nats.

        In the merged form, where q is a code and the prior over the latent around it: minus the
        rate, which differs from the mean log density there by what is the same for all images.
        """
        variables = params["prior"], stats["prior"]
        if self.merged:
            return self.prior.rate(*variables, q, rng, encode=encode)[1].value
        return self.prior.log_prob_bound(*variables, q.mean, rng, encode=encode).value

    def _scaled(self, images: Levels) -> Float32[Array, "b h w c"]:
        """Integer levels as the encoder sees them, in [0, 1]; numpy arrays become jax's."""
        return jnp.asarray(to_unit(images, self.input_levels))

    def draw_sample(self, rng: Key, num: int, *, x_shape: Shape, **options: Any) -> Noise:
        """What `sample` of the same key makes `num` images of, but for drawn pixels: the prior's.

        Args:
          rng: a key.
          num: of images.
          x_shape: (H, W, C).
          options: of the prior's sampler, the same as of `sample`.
        """
        prior_rng, _ = jax.random.split(rng)
        return self._draw_prior(prior_rng, num, self.prior_shape(x_shape), options)

    def _draw_prior(self, rng: Key, num: int, shape: Shape, options: dict[str, Any]) -> Noise:
        """The noise of the prior's samples; only a sampler with options is told of them."""
        of_sampler = options if isinstance(self.prior, DiffusionLike) else {}
        return self.prior.draw(rng, num, shape, purpose="sample", **of_sampler)

    def _from_prior(
        self, params: Params, stats: Stats, rng: Key | None, num: int,
        *, noise: Noise = None, **options: Any,
    ) -> Float[Array, "{num} *z"]:  # fmt: skip
        """Draws `num` latents of the prior; options are those of its `sample`.

        Raises:
          UserError: a noise, and a prior whose `sample` has no argument of that name.
        """
        if noise is not None:
            if "noise" not in inspect.signature(self.prior.sample).parameters:
                raise UserError(
                    f"{type(self.prior).__name__}.sample takes no noise: give it an argument "
                    "noise=None, or sample by a key"
                )
            options["noise"] = noise
        return self.prior.sample(params["prior"], stats["prior"], rng, num, **options)

    @staticmethod
    def _keys(rng: Key | None, num: int) -> list[Any]:
        """As many keys of one, or None for each where there is a noise in its place."""
        return [None] * num if rng is None else list(jax.random.split(rng, num))

    def _drawn_image(
        self, outputs: Float[Array, "b h w k"], rng: Key | None, mean: bool
    ) -> Float[Array, "b h w c"]:
        """Images [B, H, W, C] in [0, 1]: the likelihood's means, or draws from it."""
        if mean:
            return self.likelihood.mean(outputs)
        rng = required(rng, by="a sample of pixels", noise=False)
        levels = getattr(self.likelihood, "levels", None)
        if levels is None:
            kind = type(self.likelihood).__name__
            raise UserError(
                f"draws of pixels need the attribute levels of {kind}, as a maker with an argument "
                "of that name is given it: add it, or draw with mean=True"
            )
        return to_unit(self.likelihood.sample(outputs, rng), levels)


def check_latent_shape(shape: Sequence[Any]) -> None:
    """Refuses what is no shape of a latent, a vector (16,) or a map (7, 7, 4); UserError."""
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise UserError(f"latent_shape must be whole positive sizes, not {shape}")
