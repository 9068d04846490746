"""A diffusion chain of few steps whose reverse kernels are autoregressive flows."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.diffusion import trajectory
from vdp.diffusion.noise import DRAWN_BY, Descent
from vdp.diffusion.process import Gamma
from vdp.diffusion.schedules import Schedule
from vdp.diffusion.trajectory import Kernel
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.nets import stateful
from vdp.noise import expect, expect_shape, required
from vdp.priors.noise import TrajectoryNoise
from vdp.settings.rules import Checked, Size
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Purpose, Shape, Stats, Terms

ESTIMATE, SAMPLE = "an estimate of a trajectory", "a sample of a trajectory"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrajectoryPrior(Checked):
    """r(z, y_{1/T}..y_1) = N(y_1; 0, I) prod r(y_s|y_t) r(z|y_{1/T}), equations in `trajectory`.

    z ~ q(z|x) keeps its own variances, and is the state that the chain ends in. The last step of a
    Gaussian chain can only blur, so that it needs a y_0 of little noise beside z, and a floor under
    the posterior's variances; a flow can fit the deviations of the data. T = 1 is a model too, a
    flow given noisy z.

    Every estimate walks one path of all T steps, in training as well: T is small, and
    training on one random step, times T, would add the differences between steps to the noise of
    the gradient. All kernels are one network, which is told the noise level of y_t: all but the
    last are similar, and the number of parameters does not depend on T. `vdp.priors` says what the
    arguments of all methods are.

    Attributes:
      net: net(e [B, D], y [B, D], time [B], train=False) -> (v, log-scale), each [B, D]; what it
        gives for entry i of e depends on the entries before i, on all of y, and on time in
        [0, 1000], the noise level of y.
      schedule: gamma(t), evaluated from t = 1/T on.
      num_steps: T.
    """

    net: nn.Module
    schedule: Schedule
    num_steps: Size = 4

    @property
    def bound_model(self) -> str:
        """The model `rate` belongs to."""
        return f"T={self.num_steps}, trajectory"

    @property
    def weight_model(self) -> str:
        """The model `log_prob_weight` belongs to."""
        return self.bound_model

    def fitted(self, reverse: str, num_steps: int = 0) -> "TrajectoryPrior":
        """Itself: its steps are trained, and there are no others.

        Args:
          reverse: not looked at.
          num_steps: T that is asked for; 0 for its own.

        Raises:
          UserError: another T.
        """
        if num_steps not in (0, self.num_steps):
            raise UserError(
                f"the prior's {self.num_steps} steps were trained: leave "
                f"eval.num_steps={num_steps} out"
            )
        return self

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"net", "schedule"} parameters, which start as N(0, I) exactly; no stats."""
        flat = jnp.zeros((1, *z_shape)).reshape(1, -1)
        role = "a step of a trajectory"
        net = stateful.init_stateless(self.net, rng, flat, flat, jnp.zeros(1), role=role)
        return {"net": net, "schedule": self.schedule.init()}, {}

    def kernels(self, params: Params, dropout_rng: Key | None = None) -> tuple[Kernel, Gamma]:
        """The kernels and the schedule; with a `dropout_rng` in training mode."""
        rngs = None if dropout_rng is None else {"dropout": dropout_rng}

        def kernel(
            e: Float[Array, "n *s"], y: Float[Array, "n *s"], gamma: Float[Array, "n"]
        ) -> tuple[Float[Array, "n *s"], Float[Array, "n *s"]]:
            flat = (x.reshape(len(x), -1) for x in (e, y))
            time, train = self.schedule.rescaled(gamma), dropout_rng is not None
            out: Any = self.net.apply(
                {"params": params["net"]}, *flat, time, train=train, rngs=rngs
            )
            v, log_scale = out
            return v.reshape(e.shape), log_scale.reshape(e.shape)

        return kernel, self.schedule.bind(params["schedule"])

    def draw(self, rng: Key, num: int, z_shape: Shape, *, purpose: Purpose) -> Any:
        """A `TrajectoryNoise`, of every estimate; for purpose="sample" a `Descent` of T steps."""
        first_rng, steps_rng = jax.random.split(rng)
        first = draws.normal(first_rng, (num, *z_shape))
        steps = draws.normal(steps_rng, (num, self.num_steps, *z_shape))
        if purpose == "sample":
            return Descent(y_1=first, steps=steps)
        return TrajectoryNoise(z=first, path=steps)

    def _resolve_noise(
        self, noise: Noise, rng: Key | None, shape: Shape, purpose: Purpose
    ) -> TrajectoryNoise:
        """`noise`, which has to be of T steps, or where it is None what is drawn."""
        num, *z_shape = shape
        if noise is None:
            noise = self.draw(required(rng, by=ESTIMATE), num, z_shape, purpose=purpose)
        expect(noise, TrajectoryNoise, by=ESTIMATE, instead="the prior itself draws it")
        expect_shape(noise.path, (num, self.num_steps, *z_shape), by=ESTIMATE)
        return noise

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
        """Draws z ~ q, and *minus* the rate, {"entropy", "latent_0", "latent_1", "diffusion"}.

        Its mean is at most -KL(q || r).

        Raises:
          UserError: a noise of another prior or number of steps, or neither key nor noise.
        """
        drawn = self._resolve_noise(noise, rng, q.mean.shape, "elbo")
        z, chain = q.sample(drawn.z), self.kernels(params, rng if train else None)
        return z, Terms.of(entropy=q.entropy()) + trajectory.log_ratio(*chain, z, drawn.path)

    def log_prob_bound(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        rng: Key | None,
        *,
        encode: Encode | None = None,
    ) -> Terms:
        """A lower bound on log r(z), in the parts of the rate but the entropy."""
        drawn = self._resolve_noise(None, rng, z.shape, "elbo")
        return trajectory.log_ratio(*self.kernels(params), z, drawn.path)

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
        """Draws z ~ q, and log r(z, path)/q(z, path|x): the exact path weight.

        Raises:
          UserError: as of `rate`.
        """
        drawn = self._resolve_noise(noise, rng, q.mean.shape, "weight")
        z = q.sample(drawn.z)
        ratio = trajectory.log_ratio(*self.kernels(params), z, drawn.path)
        return z, ratio.value - q.log_prob(z)

    def sample(
        self,
        params: Params,
        stats: Stats,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        temperature: float = 1.0,
        noise: Noise = None,
    ) -> Float[Array, "{num} *s"]:
        """Draws z [num, *z_shape]; `temperature` is a factor on all noise, that of y_1 included.

        Raises:
          UserError: a noise that is no `Descent` of T steps, or neither key nor noise.
        """
        if noise is None:
            noise = self.draw(required(rng, by=SAMPLE), num, z_shape, purpose="sample")
        expect(noise, Descent, by=SAMPLE, instead=DRAWN_BY)
        expect_shape(noise.steps, (num, self.num_steps, *z_shape), by=SAMPLE)
        y_1, steps = temperature * noise.y_1, temperature * noise.steps
        return trajectory.descend(*self.kernels(params), y_1, steps)


make = TrajectoryPrior
