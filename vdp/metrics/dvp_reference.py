"""The estimator behind the published numbers of DVP-VAE, which bounds nothing.

logsumexp_k of one-sample terms, as an importance-weighted bound has it, but with the KLs of the
latents in closed form and a noisy bound on log r(u) inside the exponent, whose diffusion term is
the right-endpoint Riemann sum of the continuous-time integrand over T points. Each of the three
lets it exceed log p(x). It exists to reproduce the published column, and for nothing else.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vdp import draws
from vdp.diffusion.noise import Times
from vdp.dists import sum_nonbatch
from vdp.models.noise import HierarchyNoise, LadderNoise
from vdp.noise import expect, structure
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import Array, Batch, Key, Noise, Params, Purpose, Stats

LABEL = "not a bound"


@structure
class ReferenceNoise:
    """What one term of the published program needs.

    Drawn by `ReferenceTerms.draw`.

    Attributes:
      model: the hierarchy's own; of a diffusion prior with `Times` at the right ends of T strata.
      end: [B, ...] of u, standard normal: of the draw of y_0 in place of L0. None where L0 is not
        drawn: without a diffusion prior over u, and in its merged form.
    """

    model: HierarchyNoise | LadderNoise
    end: Float[Array, "b *s"] | None


class ReferenceTerms:
    """A model whose `log_weight` is the DVP program's term for one sample."""

    weight_model = LABEL

    def __init__(self, model: Any) -> None:
        self.diffusion = isinstance(model.prior, DiffusionPrior)
        if self.diffusion:
            prior = dataclasses.replace(model.prior, bound="continuous")
            model = dataclasses.replace(model, prior=prior)
        self.model = model

    @property
    def _code_is_drawn(self) -> bool:
        """Whether log q(u|x) stands in a term, and L0 of a diffusion prior, at one draw of each."""
        return self.model.over_code and not self.model.merged

    def draw(self, rng: Key, batch: Batch, *, purpose: Purpose = "weight") -> ReferenceNoise:
        """The noise of one term, whatever the purpose."""
        draw_rng, time_rng, end_rng = jax.random.split(rng, 3)
        prior, end = self.model.prior, None
        noise = self.model.draw(draw_rng, batch, purpose="loss")
        if self.diffusion:
            steps, num = prior.num_steps, len(batch.target)
            right_ends = jnp.arange(1, steps + 1, dtype=jnp.float32) / steps
            shape = (num, steps, *noise.prior.z.shape[1:])
            times = Times(t=jnp.tile(right_ends, (num, 1)), eps=draws.normal(time_rng, shape))
            if self._code_is_drawn:
                end = draws.normal(end_rng, noise.prior.z.shape)
            noise = noise.replace(prior=noise.prior.replace(diffusion=times))
        return ReferenceNoise(model=noise, end=end)

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]:
        """One term, log p(x|z) - sum_l KL_l + (noisy bound on log r(u)) - log q(u|x), [B].

        Args:
          params: of the model.
          stats: of the model.
          batch: B examples.
          rng: a key.
          noise: of `draw`, instead of what is drawn with rng.

        Raises:
          UserError: a noise that is no `ReferenceNoise`.
        """
        noise = self.draw(rng, batch) if noise is None else noise
        expect(noise, ReferenceNoise, by="a reference term", instead="its own draw gives it")
        terms = self.model.elbo(params, stats, batch, rng, noise=noise.model)
        if not self._code_is_drawn:
            return terms.value
        code = noise.model.prior.z
        sampled = 0.5 * sum_nonbatch(jnp.square(code) - 1)  # -log q(u|x) in place of the entropy
        if self.diffusion:  # and one draw in place of L0
            sampled = sampled - 0.5 * sum_nonbatch(jnp.square(noise.end) - 1)
        return terms.value + sampled
