"""What the diffusion priors draw for their estimates, and the fields that say how much."""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from vdp import draws
from vdp.diffusion import bounds, ode, times
from vdp.diffusion.noise import AllSteps, ExactOde, HutchinsonOde, Path, Quantiles, Times
from vdp.diffusion.process import Gamma
from vdp.errors import UserError, choose_from
from vdp.noise import expect, required
from vdp.priors.diffusion_samples import DiffusionSamples
from vdp.priors.noise import DiffusionNoise
from vdp.settings.rules import AtLeast, OneOf, Size, SizeOrNone
from vdp.types import Key, Levels, Noise, Params, Shape, Stats

ESTIMATE = "an estimate of a diffusion prior"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionDraws(DiffusionSamples):
    """A diffusion model, and how its bound is estimated in training and in a report.

    `vdp.priors` says what the arguments of all methods are.

    Attributes:
      weights: of the gradient, see `vdp.diffusion.bounds`; what is reported is the bound always.
      times: of training: "low_discrepancy" (uniform) or "importance" (as of N(0, I) data); those of
        a report are stratified.
      train_times: diffusion times per example in training. Each is another pass of the denoiser,
        and makes the gradient less noisy, that of the encoder above all.
      num_times: diffusion times per example in a reported continuous bound.
      num_strata: steps per example in a reported T-step bound (that of `discretized` included), one
        drawn from each of as many strata; with 0, or T and more, all T of them are summed.
      sequential: whether a report takes its times one after the other, for large latents.
      ode_probes: Hutchinson probes of the ODE's divergence in a bound; 0 computes it exactly, as an
        importance weight always does.
      teacher_steps: of DDIM by the teacher in stats["teacher"], which the denoiser is trained to do
        in one of the chain's steps (`vdp.diffusion.distillation`); 0: it is trained on the bound.
      denoiser, schedule, parameterization, form, bound, num_steps, ode_steps: of `DiffusionModel`.
    """

    weights: Annotated[str, OneOf(*bounds.WEIGHTS)] = "bound"
    times: Annotated[str, OneOf("low_discrepancy", "importance")] = "low_discrepancy"
    train_times: Size = 1
    num_times: Annotated[int, AtLeast(32, most=2**20)] = 32  # fewer leave too much noise in reports
    num_strata: SizeOrNone = 0
    sequential: bool = False
    ode_probes: SizeOrNone = 0
    teacher_steps: SizeOrNone = 0

    def __post_init__(self):
        super().__post_init__()
        if self.num_strata and self.num_strata < 32:
            raise UserError("num_strata must be at least 32 (reported), or 0 for all steps")
        if self.times == "importance" and self.weights != "bound":
            raise UserError("importance-sampled times are those of the bound: weights='bound'")
        if self.times == "importance" and "shape" in self.schedule.init():
            raise UserError("times='importance' and a schedule of learned shape do the same twice")
        if self.teacher_steps and self.times == "importance":
            raise UserError("a student of teacher_steps is trained at times='low_discrepancy'")
        if self.teacher_steps and self.reverse == "learned":
            raise UserError("a student of teacher_steps has even times: reverse='fixed'")
        if self.reverse == "learned" and self.weights != "bound":
            raise UserError("a learned chain is trained with the bound: weights='bound'")

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """As of `DiffusionModel.init`; a student's stats have a "teacher", which is given later."""
        params, stats = super().init(rng, z_shape, x_shape=x_shape, data=data)
        if self.teacher_steps:
            known = {name: params[name] for name in ("denoiser", "schedule")}
            stats = stats | {"teacher": jax.tree.map(jnp.copy, known)}
        return params, stats

    def _gamma(self, params: Params, live: str = "all") -> Gamma:
        """As of `DiffusionModel`; a student's schedule is its teacher's, and is not trained."""
        if self.teacher_steps:
            params = params | {"schedule": jax.lax.stop_gradient(params["schedule"])}
        return super()._gamma(params, live)

    def draw(self, rng: Key, num: int, z_shape: Shape, *, purpose: str, **options: Any) -> Any:
        """The noise of a posterior draw and, by purpose, of this prior's estimate; or of samples.

        "loss": `train_times` per example, of a grid over the batch; "elbo": many times, all steps
        or the ODE's end, as reports have them; "weight": a path, or the ODE's end with the exact
        trace; "sample": a `SamplerNoise` of the sampler that `options` of `sample` name.

        Raises:
          UserError: the loss of bound="ode", another purpose, or options that mean nothing there.
        """
        if purpose == "sample":
            return self._sample_noise(rng, num, z_shape, **options)
        purposes = {"loss": self._training, "elbo": self._report, "weight": self._weight}
        if purpose not in purposes:
            raise choose_from("purpose", purpose, [*purposes, "sample"])
        if options:
            raise UserError(f"the sampler's options {', '.join(options)} are of purpose='sample'")
        z_rng, rest_rng = jax.random.split(rng)
        shape = (num, *z_shape)
        z = draws.normal(z_rng, shape)
        return DiffusionNoise(z=z, diffusion=purposes[purpose](rest_rng, shape))

    def _training(self, rng: Key, shape: Shape) -> Times | Quantiles:
        self._check_training()
        drawn = bounds.draw(rng, shape, times.low_discrepancy, self.train_times)
        return Quantiles(u=drawn.t, eps=drawn.eps) if self.times == "importance" else drawn

    def _report(self, rng: Key, shape: Shape) -> Times | AllSteps | ExactOde | HutchinsonOde:
        if self.bound == "ode":
            return ode.draw(rng, shape, self.ode_probes)
        if self.bound == "continuous":
            return bounds.draw(rng, shape, times.stratified, self.num_times)
        if 0 < self.num_strata < self.num_steps:
            return bounds.draw(rng, shape, times.stratified, self.num_strata)
        return bounds.draw_all_steps(rng, shape, self.num_steps)

    def _weight(self, rng: Key, shape: Shape) -> Path | ExactOde | HutchinsonOde:
        if self.bound == "ode":
            return ode.draw(rng, shape, num_probes=0)
        num, *z_shape = shape
        return Path(steps=draws.normal(rng, (num, self.num_steps + 1, *z_shape)))

    def _check_training(self) -> None:
        if self.teacher_steps and self.bound == "continuous":
            raise UserError("a student of teacher_steps is a chain of T: bound='discrete'")
        if self.reverse == "learned" and self.bound == "continuous":
            raise UserError("a learned chain is trained with its own bound: bound='discrete'")
        if self.bound == "ode":
            raise UserError(
                "the density of the ODE is an estimate for evaluation: train with "
                "bound='continuous' or 'discrete', and evaluate with eval.estimators=elbo_ode"
            )

    def _resolve_noise(
        self, noise: Noise, rng: Key | None, shape: Shape, purpose: str
    ) -> DiffusionNoise:
        """`noise`, which has to be of a diffusion prior, or where it is None what is drawn."""
        if noise is None:
            noise = self.draw(required(rng, by=ESTIMATE), shape[0], shape[1:], purpose=purpose)
        expect(noise, DiffusionNoise, by=ESTIMATE, instead="the prior itself draws it")
        return noise
