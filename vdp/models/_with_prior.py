"""What every model around a prior shares: whose bound it is, and the other models it stands for."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.types import Array, Terms


class WithPrior:
    """Base of models with `likelihood`, `input_levels` and a `prior`, which may be None.

    They define `draw` and `_terms(params, stats, batch, rng, noise, train)`, the bound's Terms.
    """

    @property
    def discrete(self) -> bool:
        """Whether the data's probabilities are masses, so that bits/dim are defined."""
        return self.likelihood.discrete

    @property
    def bound_model(self) -> str:
        """The model `elbo` bounds."""
        return getattr(self.prior, "bound_model", "exact")

    @property
    def weight_model(self) -> str:
        """The model `log_weight` estimates."""
        return getattr(self.prior, "weight_model", "exact")

    @property
    def merged(self) -> bool:
        """Whether the posterior's noise is the diffusion prior's own."""
        return getattr(self.prior, "merged", False)

    def check_floor(self, floor: float) -> None:
        """Refuses a separate diffusion prior blunter than log-variances of z may be; ValueError."""
        schedule = getattr(self.prior, "schedule", None)
        if schedule is not None and schedule.gamma_0_max > floor:
            raise ValueError(
                f"the prior's gamma_0 may reach {schedule.gamma_0_max:.4g}, above the floor "
                f"{floor:.4g} of the posterior's log-variance: the prior cannot be sharper than "
                "exp(gamma_0), so lower gamma_0 (gamma_0_max where it is learned) or raise "
                "log_var_floor (log_var_q of a hierarchy)"
            )

    def discretized(self):
        """The model with the prior its sampler draws from; itself for exact priors."""
        if not hasattr(self.prior, "discretized"):
            return self
        return dataclasses.replace(self, prior=self.prior.discretized())

    def as_ode(self, **kwargs):
        """The model with the density of the prior's probability flow; itself for exact priors."""
        if not hasattr(self.prior, "as_ode"):
            return self
        return dataclasses.replace(self, prior=self.prior.as_ode(**kwargs))

    def elbo(self, params, stats, batch, rng, *, noise=None) -> Terms:
        """The bound with all its parts, [B] nats; analytic KLs where there are any."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="elbo") if noise is None else noise
        return self._terms(params, stats, batch, rest_rng, noise, False)

    def _scaled(self, images) -> Array:
        return images.astype(jnp.float32) / (self.input_levels - 1)

    def _drawn_image(self, outputs, rng, mean: bool) -> Array:
        """[B, H, W, C] in [0, 1]: the likelihood's mean, or a draw from it."""
        if mean:
            return self.likelihood.mean(outputs)
        drawn = self.likelihood.sample(outputs, rng)
        return drawn.astype(jnp.float32) / (self.likelihood.levels - 1)
