"""A diffusion prior in continuous time over the latent (VDM: Kingma et al. 2021).

Separate form: z ~ q(z|x) keeps its own learned variances and the diffusion adds its noise on top,
so that every prior can be compared on one posterior; the rate is H[q] - L0 - L1 - LT.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.diffusion import bounds, paths, process, samplers, times
from vdp.diffusion.schedules import Schedule
from vdp.types import Array, Noise, Terms

BOUNDS = ("continuous", "discrete")
PARAMETERIZATIONS = ("v", "eps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VDM:
    """A denoiser network, a schedule, and how the bound is estimated.

    Attributes:
      denoiser: net(y, time, train) -> array of y's shape.
      schedule: gamma(t), possibly learned.
      parameterization: what the network's output is: "v" (starts at the optimal denoiser of
        N(0, I) when the output starts at zero) or "eps".
      bound: "continuous" (T = infinity) or "discrete" (T = num_steps).
      num_steps: T of the ancestral sampler, the path weight and the discrete bound.
      num_times: diffusion times per example in a reported continuous bound.
    """

    denoiser: nn.Module
    schedule: Schedule
    parameterization: str = "v"
    bound: str = "continuous"
    num_steps: int = 50
    num_times: int = 32

    def __post_init__(self):
        for given, accepted in (
            (self.bound, BOUNDS),
            (self.parameterization, PARAMETERIZATIONS),
        ):
            if given not in accepted:
                raise ValueError(f"{given!r} is not one of {', '.join(accepted)}")
        if self.num_steps < 1 or self.num_times < 32:
            raise ValueError("num_steps must be at least 1, and num_times at least 32 (reported)")

    @property
    def bound_model(self) -> str:
        """The model `rate` belongs to."""
        return "T=inf" if self.bound == "continuous" else self.weight_model

    @property
    def weight_model(self) -> str:
        """The model the path weight and the sampler belong to."""
        return f"T={self.num_steps}"

    def discretized(self, num_steps: int | None = None) -> "VDM":
        """The T-step model with the same parameters: what the ancestral sampler draws from."""
        return dataclasses.replace(self, bound="discrete", num_steps=num_steps or self.num_steps)

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {"denoiser", "schedule"} parameters and no stats."""
        y, time = jnp.zeros((1, *z_shape)), jnp.zeros((1,))
        denoiser = self.denoiser.init(rng, y, time).get("params", {})
        return {"denoiser": denoiser, "schedule": self.schedule.init()}, {}

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

    def draw(self, rng, num, z_shape, *, purpose) -> Noise:
        """Posterior noise "z" and, by purpose, times and their noise, or the "path" noise."""
        z_rng, rest_rng = jax.random.split(rng)
        noise = {"z": jax.random.normal(z_rng, (num, *z_shape))}
        if purpose == "weight":
            shape = (num, self.num_steps + 1, *z_shape)
            return noise | {"path": jax.random.normal(rest_rng, shape)}
        if purpose == "loss":
            grid, num_times = lambda rng, num, _: times.low_discrepancy(rng, num), 1
        elif self.bound == "discrete":
            grid, num_times = lambda _, num, steps: times.every_step(num, steps), self.num_steps
        else:
            grid, num_times = times.stratified, self.num_times
        return noise | bounds.draw(rest_rng, (num, *z_shape), grid, num_times)

    def _bound(self, params, z, noise, dropout_rng=None) -> Terms:
        eps_fn = self.eps_fn(params, dropout_rng)
        gamma = self.schedule.bind(params["schedule"])
        if self.bound == "continuous":
            return bounds.continuous(eps_fn, gamma, z, noise=noise)
        return bounds.discrete(eps_fn, gamma, z, num_steps=self.num_steps, noise=noise)

    def rate(
        self, params, stats, q, rng, *, encode=None, noise=None, train=False
    ) -> tuple[Array, Terms]:
        """Z ~ q and {"entropy": H[q], "latent_0", "latent_1", "diffusion"}."""
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="elbo") if noise is None else noise
        z = q.sample(noise["z"])
        return z, Terms.of(entropy=q.entropy()) + self._bound(
            params, z, noise, rng if train else None
        )

    def log_prob_bound(self, params, stats, z, rng, *, encode=None) -> Terms:
        """The lower bound on log r(z)."""
        return self._bound(params, z, self.draw(rng, len(z), z.shape[1:], purpose="elbo"))

    def log_prob_weight(self, params, stats, q, rng, *, encode=None, noise=None):
        """Z ~ q and log r(z, path) - log q(path|z) - log q(z): one exact path weight."""
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose="weight") if noise is None else noise
        z = q.sample(noise["z"])
        gamma = self.schedule.bind(params["schedule"])
        weight = paths.log_weight(self.eps_fn(params), gamma, z, noise["path"])
        return z, weight - q.log_prob(z)

    def sample(
        self, params, stats, rng, num, *, z_shape, encode=None, sampler_steps: int = 0
    ) -> Array:
        """[num, *z_shape] ancestral draws; `sampler_steps` other than num_steps: another T."""
        path_rng, end_rng = jax.random.split(rng)
        gamma = self.schedule.bind(params["schedule"])
        shape, num_steps = (num, *z_shape), sampler_steps or self.num_steps
        y_0 = samplers.ancestral(self.eps_fn(params), gamma, path_rng, shape, num_steps=num_steps)
        gamma_0 = gamma(jnp.float32(0))
        noise = jnp.exp(0.5 * gamma_0) * jax.random.normal(end_rng, shape)
        return y_0 / process.alpha(gamma_0) + noise


make = VDM
