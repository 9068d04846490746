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

from vdp.diffusion.noise import Times
from vdp.dists import sum_nonbatch
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import Array, Batch, Key, Params, Stats

LABEL = "not a bound"


class ReferenceTerms:
    """A model whose `log_weight` is the DVP program's term for one sample."""

    weight_model = LABEL

    def __init__(self, model: Any) -> None:
        self.diffusion = isinstance(model.prior, DiffusionPrior)
        if self.diffusion:
            prior = dataclasses.replace(model.prior, bound="continuous")
            model = dataclasses.replace(model, prior=prior)
        self.model = model

    def log_weight(self, params: Params, stats: Stats, batch: Batch, rng: Key) -> Float[Array, "b"]:
        """One term, log p(x|z) - sum_l KL_l + (noisy bound on log r(u)) - log q(u|x), [B]."""
        draw_rng, time_rng, end_rng = jax.random.split(rng, 3)
        prior = self.model.prior
        noise = self.model.draw(draw_rng, batch, purpose="loss")
        if self.diffusion:
            steps, num = prior.num_steps, len(batch.target)
            right_ends = jnp.arange(1, steps + 1, dtype=jnp.float32) / steps
            shape = (num, steps, *noise.prior.z.shape[1:])
            times = Times(t=jnp.tile(right_ends, (num, 1)), eps=jax.random.normal(time_rng, shape))
            noise = noise.replace(prior=noise.prior.replace(diffusion=times))
        terms = self.model.elbo(params, stats, batch, rng, noise=noise)
        if not self.model.over_code or self.model.merged:
            return terms.value
        code = noise.prior.z
        sampled = 0.5 * sum_nonbatch(jnp.square(code) - 1)  # -log q(u|x) in place of the entropy
        if self.diffusion:  # and one draw in place of L0
            end = jax.random.normal(end_rng, code.shape)
            sampled = sampled - 0.5 * sum_nonbatch(jnp.square(end) - 1)
        return terms.value + sampled
