"""A deep top-down hierarchical VAE, with or without pseudo-inputs (DVP-VAE: Kuzina & Tomczak 2024).

log p(x) >= E_q[log p(x|z) - sum_l KL(q(z_l|z_>l, u, x) || p(z_l|z_>l, u))] - rate(u)

with rate(u) = -E_q[bound(log r(u))] - H[q(u|x)], at least KL(q(u|x) || r(u)). u is a small code of
the image that conditions every level; any prior stands over it. Without pseudo-inputs there is the
ladder alone, with p(z_L) its own top block or any prior over z_L, such as a VampPrior (whose
pseudo-inputs are images). docs/dvp.md has the parameter tree and the noise.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float

from vdp.dists import Normal
from vdp.models import stages
from vdp.models.ladder import Maps
from vdp.models.ladder_samples import LadderSamples
from vdp.models.noise import HierarchyNoise, LadderNoise
from vdp.noise import expect
from vdp.priors.noise import EstimateNoise
from vdp.settings.rules import Amount, Natural, OneOf
from vdp.types import (
    Array,
    Aux,
    Batch,
    Key,
    Levels,
    Noise,
    Params,
    Purpose,
    Stats,
    Terms,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HVAE(LadderSamples):
    """The hierarchy's bound, weights and samples; fields as of `Ladder`.

    Attributes:
      beta: weight of the rate in the loss; reported bounds never contain it.
      kl_warmup_steps: the weight rises linearly from 0 to beta over these steps.
      free_bits: nats an image; what the loss counts for the KL of a latent of the ladder at least
        (Kingma et al. 2016, eq. 15), so that nothing is gained by pushing it below; a z_L under a
        prior of its own is left as it is.
      training: how the prior is trained beside the ladder, see `vdp.models.stages`.
    """

    beta: Amount = 1.0
    kl_warmup_steps: Natural = 0
    free_bits: Amount = 0.0
    training: Annotated[str, OneOf(*stages.TRAINING)] = "joint"

    def __post_init__(self) -> None:
        super().__post_init__()
        stages.check(self.training, self.prior, merged=self.merged)

    def _prior_args(self, params: Params, stats: Stats) -> tuple[Params, Stats]:
        return params["prior"], stats["prior"]

    def draw(
        self, rng: Key, batch: Batch, *, purpose: Purpose = "loss"
    ) -> LadderNoise | HierarchyNoise:
        """The noise of all latents and, where there is a prior, the prior's."""
        z_rng, prior_rng = jax.random.split(rng)
        num, *x_shape = batch.target.shape
        z = self.latent_noise(z_rng, num, x_shape)
        if self.prior is None:
            return LadderNoise(z=z)
        shape = self.prior_shape(x_shape)
        return HierarchyNoise(z=z, prior=self.prior.draw(prior_rng, num, shape, purpose=purpose))

    def _noise_of(self, noise: Noise) -> tuple[list[Array], EstimateNoise | None]:
        """Splits a noise in (that of the latents per scale, that of the prior or None)."""
        kind = LadderNoise if self.prior is None else HierarchyNoise
        expect(noise, kind, by="the bound of this hierarchy", instead="its own draw gives it")
        if self.prior is None:
            return noise.z, None
        if self.over_code:
            return noise.z, noise.prior
        return [noise.z[0].at[:, 0].set(noise.prior.z), *noise.z[1:]], noise.prior

    def _terms(self, *args: Any) -> Terms:
        return self._forward(*args)[0]

    def _forward(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, noise: Noise, train: bool,
        num_scales: int | None = None,
    ) -> tuple[Terms, Float[Array, "b"] | None, Normal | None]:  # fmt: skip
        """The bound, minus the prior's rate in it, [B], and q of what the prior is over.

        KLs are in closed form, the rate is the prior's own estimate; `num_scales` is as of
        `reconstruct`.
        """
        apart = train and self.training != "joint"
        detached = stop_gradient if apart else lambda tree: tree
        params, train_nets = stages.frozen(self.training, params, train)
        x_shape = batch.target.shape[1:]
        images = self._scaled(batch.input)
        z_noise, prior_noise = self._noise_of(noise)
        rate_args: dict[str, Any] = dict(noise=prior_noise, train=train)
        conditions, minus_rate, q = self.no_conditions, None, None
        variables = self._prior_args(params, stats) if self.prior is not None else ()
        if self.over_code:
            q = self.code(params, stats, images)
            u, minus_rate = self.prior.rate(*variables, detached(q), rng, **rate_args)
            u = q.sample(noise.prior.z) if apart else u
            conditions = self.conditions(params, stats, u, x_shape)
        of_image = self._features_of(params, batch, train=train_nets)
        features = self._coarsest(of_image, num_scales)
        outputs, reports = self.descend(
            params, features, conditions, z_noise, x_shape, train=train_nets
        )
        if self.prior is not None and not self.over_code:
            q = jax.tree.map(lambda leaf: leaf[0], reports[0]["q"])
            rate_args["encode"] = self.encode_fn(detached(params))
            _, minus_rate = self.prior.rate(*variables, detached(q), rng, **rate_args)
        over = "u" if self.over_code else self.latent_names[0]
        of_prior = minus_rate.parts if minus_rate else {}
        parts = {f"{over}_{name}": part for name, part in of_prior.items()}
        kls = self.per_latent(reports, lambda q, p, z: -q.kl(p))
        log_prob = self.likelihood.log_prob(outputs, batch.target)
        terms = Terms.of(likelihood=log_prob, **parts, **kls)
        if minus_rate:
            terms = dataclasses.replace(terms, aside=minus_rate.aside)
        return terms, minus_rate.value if minus_rate else None, q

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """The loss -log p(x|z) + beta(step) (all KLs and the rate), [B], and Aux, un-annealed.

        Detached: the rate on the detached latent, without beta, and beta(step) KL(q || N(0, I)) in
        its place.
        """
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        terms, minus_rate, q = self._forward(params, stats, batch, rest_rng, noise, train)
        beta = stages.weight(self.beta, self.kl_warmup_steps, step)
        counted = stages.freed(terms, self.latent_names, self.free_bits)
        loss = stages.loss(self.training, counted, minus_rate, q, beta)
        return loss, Aux(terms=terms, stats=stats, scalars={"beta": jnp.float32(beta)})

    def partial_elbo(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, num_scales: int, noise: Noise = None,
    ) -> Terms:  # fmt: skip
        """The bound in which the finer scales are drawn from p in place of q, [B] nats.

        A bound on log p(x) as `elbo` is: its q is p(z_l|z_>l, u) for these latents, so that their
        KLs are 0 (L^{>k} of Havtorn et al. 2021, with k latents in the finer scales). With the same
        rng, or noise, it shares all draws with `elbo`.

        Args:
          params: of `init`.
          stats: of `init`.
          batch: B examples.
          rng: a key.
          num_scales: how many of the coarsest scales are drawn from q. u always is; with a prior
            over z_L, at least 1.
          noise: of `draw`, in place of what is drawn with rng.
        """
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="elbo") if noise is None else noise
        return self._forward(params, stats, batch, rest_rng, noise, False, num_scales)[0]

    def code_log_prob(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b"]:
        """Log density of u (of z_L under a prior over that) under the prior, or its bound, [B].

        At the mean of q, in nats; in the merged form its mean over the noise around that, up to a
        constant.
        """
        q = self.prior_posterior(params, stats, batch)
        return self._log_prob_of_code(params, stats, q, rng, self.encode_fn(params))

    def prior_posterior(self, params: Params, stats: Stats, batch: Batch) -> Normal:
        """The posterior of what the prior is over: q(u|x), or q(z_L|x)."""
        images = self._scaled(batch.input)
        if self.over_code:
            return self.code(params, stats, images)
        return self.top_posterior(params, images)

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]:
        """The weight log p(x, z, u)/q(z, u|x) at one draw, [B]: sampled log-densities, no KL."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="weight") if noise is None else noise
        x_shape = batch.target.shape[1:]
        images = self._scaled(batch.input)
        conditions, weight = self.no_conditions, jnp.float32(0)
        z_noise, prior_noise = self._noise_of(noise)
        weigh = lambda q, **kw: self.prior.log_prob_weight(
            *self._prior_args(params, stats), q, rest_rng, noise=prior_noise, **kw
        )
        if self.over_code:
            u, weight = weigh(self.code(params, stats, images))
            conditions = self.conditions(params, stats, u, x_shape)
        features = self._features_of(params, batch)
        outputs, reports = self.descend(params, features, conditions, z_noise, x_shape)
        if self.prior is not None and not self.over_code:
            top = jax.tree.map(lambda leaf: leaf[0], reports[0]["q"])
            _, weight = weigh(top, encode=self.encode_fn(params))
        ratios = self.per_latent(reports, lambda q, p, z: p.log_prob(z) - q.log_prob(z))
        return self.likelihood.log_prob(outputs, batch.target) + weight + sum(ratios.values())

    def encoded(self, params: Params, stats: Stats, batch: Batch) -> Maps:
        """The encoder's maps of every scale, coarsest first; they say nothing of q(u|x)."""
        return self.features(params, self._scaled(batch.input))

    def _features_of(self, params: Params, batch: Batch, *, train: bool = False) -> Maps:
        """The maps of a batch: those that stand for the encoder's where they are given."""
        if batch.encoded is not None:
            return batch.encoded
        return self.features(params, self._scaled(batch.input), train=train)

    def encode(self, params: Params, stats: Stats, images: Levels) -> dict[str, Normal]:
        """Posteriors by name: "u", and "z_L".."z_1" at the means of all above them."""
        x_shape = images.shape[1:]
        noise = [jnp.zeros((len(images), *shape)) for shape in self.latent_shapes(x_shape)]
        scaled = self._scaled(images)
        posteriors, conditions = {}, self.no_conditions
        if self.over_code:
            posteriors["u"] = self.code(params, stats, scaled)
            conditions = self.conditions(params, stats, posteriors["u"].mean, x_shape)
        _, reports = self.descend(params, self.features(params, scaled), conditions, noise, x_shape)
        moments = [
            jax.tree.map(lambda leaf, i=i: leaf[i], report["q"])
            for report, (num, *_) in zip(reports, self.latent_shapes(x_shape), strict=True)
            for i in range(num)
        ]
        return posteriors | dict(zip(self.latent_names, moments, strict=True))


make = HVAE
