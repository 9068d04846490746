"""Samples of the diffusion priors, by any sampler of `vdp.diffusion.samplers`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp import draws
from vdp.diffusion import process, samplers
from vdp.diffusion.chains import Chain
from vdp.diffusion.noise import draw_for
from vdp.errors import UserError
from vdp.noise import expect, expect_shape, required
from vdp.priors.diffusion_model import DiffusionModel
from vdp.priors.noise import SamplerNoise
from vdp.types import Array, Encode, Key, Noise, Params, Shape, Stats

SAMPLE = "a sample of a diffusion prior"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionSamples(DiffusionModel):
    """A `DiffusionModel` that is drawn from."""

    def check_sampler(self, **options: Any) -> None:
        """Raises UserError for options of `sample` that mean nothing, as `samplers.check` does."""
        options.pop("last_noise", None)
        samplers.check(**options)
        steps = options.get("sampler_steps", 0)
        sampler, _ = self._sampler(options.get("sampler", ""))
        is_learned = sampler == "ancestral" and self.reverse == "learned"
        if is_learned and steps not in (0, self.num_steps):
            raise UserError(
                f"the chain of {self.num_steps} steps was learned: leave sampler_steps={steps} out"
            )

    def _sampler(self, sampler: str = "", sampler_steps: int = 0) -> tuple[str, int]:
        """(name, number of steps) of a sampler, where "" and 0 are this model's."""
        sampler = sampler or ("ode" if self.bound == "ode" else "ancestral")
        return sampler, sampler_steps or (self.ode_steps if sampler == "ode" else self.num_steps)

    def _sample_noise(self, rng: Key, num: int, z_shape: Shape, **options: Any) -> SamplerNoise:
        """The noise from which `sample` makes `num` latents with the same key and options.

        Raises:
          UserError: as of `check_sampler`.
        """
        self.check_sampler(**options)
        chosen = {name: options[name] for name in ("sampler", "sampler_steps") if name in options}
        sampler, steps = self._sampler(**chosen)
        path_rng, end_rng = jax.random.split(rng)
        shape, eta = (num, *z_shape), options.get("eta", 0.0)
        drawn = draw_for(sampler, path_rng, shape, num_steps=steps, eta=eta)
        return SamplerNoise(sampler=drawn, end=draws.normal(end_rng, shape))

    def denoising(
        self,
        params: Params,
        stats: Stats,
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
        eps_fn, shape = self.eps_fn(params), (num, *z_shape)
        chain = Chain(gamma=self._gamma(params))
        if sampler == "ancestral":
            chain = self.chain(params, stats, z_shape, steps)
            options["log_v"] = chain.log_v
        path_rng, of_sampler = None, None
        end: Callable[[], Array]
        if noise is None:
            path_rng, end_rng = jax.random.split(required(rng, by=SAMPLE))
            end = lambda: draws.normal(end_rng, shape)
        else:
            expect(noise, SamplerNoise, by=SAMPLE, instead="it draws it for purpose='sample'")
            expect_shape(noise.end, shape, by=SAMPLE)
            of_sampler, end = noise.sampler, lambda: noise.end
        y_0, denoised = samplers.draw(
            sampler, eps_fn, chain.gamma, path_rng, shape,
            num_steps=steps, noise=of_sampler, **options,
        )  # fmt: skip
        gamma_0 = chain.gamma(jnp.float32(0))
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
            stats,
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
