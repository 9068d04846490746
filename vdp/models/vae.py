"""A variational autoencoder with any prior over one latent z (Kingma & Welling 2014).

log p(x) >= E_q[log p(x|z)] - rate,  rate = KL(q(z|x) || p(z)) or the prior's upper bound on it, in
nats and never negative in its mean (Alemi et al. 2018).
"""

import dataclasses
import math
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float

from vdp import draws
from vdp.dists import Normal
from vdp.models import stages
from vdp.models.base import WithPrior, check_latent_shape
from vdp.nets import stateful
from vdp.settings.rules import Amount, Checked, LogVariance, Natural, OneOf, Size
from vdp.types import (
    AnyArray,
    Array,
    Aux,
    Batch,
    Encode,
    Images,
    Key,
    Levels,
    Likelihood,
    Noise,
    Params,
    Purpose,
    Shape,
    Stats,
    Terms,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(WithPrior, Checked):
    """Encoder, decoder, prior and likelihood joined on one bound.

    Attributes:
      encoder, decoder: nets called as net(x, out_shape, train=...).
      latent_shape: of one z, a vector (16,) or a map (7, 7, 4).
      log_var_floor: the posterior's log-variance stays above it (softly); a diffusion prior's
        gamma_0 must lie below.
      input_levels: levels of the images the encoder sees.
      beta: weight of the rate in the loss; reported bounds never contain it.
      kl_warmup_steps: the weight rises linearly from 0 to beta over these steps.
      training: "joint", "detached" or "prior": how the prior is trained beside encoder and
        decoder, see `vdp.models.stages`. The reported bound is the same.
    """

    encoder: nn.Module
    decoder: nn.Module
    prior: Any  # a `vdp.types.Prior`
    likelihood: Likelihood
    latent_shape: tuple[Size, ...]
    input_levels: int
    log_var_floor: LogVariance = -8.0
    beta: Amount = 1.0
    kl_warmup_steps: Natural = 0
    training: Annotated[str, OneOf(*stages.TRAINING)] = "joint"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_latent_shape(self.latent_shape)
        stages.check(self.training, self.prior, merged=self.merged)
        if getattr(self.likelihood, "num_components", 1) > 1:  # alike, they would stay so for ever
            object.__setattr__(self, "decoder", stateful.not_from_zero(self.decoder))
        if not self.merged:
            self.check_floor(self.log_var_floor)

    def prior_shape(self, x_shape: Shape) -> tuple[int, ...]:
        """Shape of what the prior is over: z."""
        return self.latent_shape

    def latent_table(self, x_shape: Shape) -> list[dict[str, Any]]:
        """Name, height of the map and number of units of every latent."""
        return [{"name": "z", "height": None, "units": math.prod(self.latent_shape)}]

    def latent_means(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b 1 units"]:
        """Posterior means [B, 1, units]: they depend on no draw."""
        return self.encode(params, stats, batch.input).mean.reshape(len(batch.input), 1, -1)

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """Parameters and stats, each {"encoder", "decoder", "prior"}; `data` is for the prior."""
        encoder_rng, decoder_rng, prior_rng = jax.random.split(rng, 3)
        x, z = jnp.zeros((1, *x_shape)), jnp.zeros((1, *self.latent_shape))
        encoder, encoder_stats = stateful.init(self.encoder, encoder_rng, x, self._moments_shape)
        decoder, decoder_stats = stateful.init(
            self.decoder, decoder_rng, z, self._feature_shape(x_shape)
        )
        prior, prior_stats = self.prior.init(
            prior_rng, self.latent_shape, x_shape=x_shape, data=data
        )
        params = {
            "encoder": encoder,
            "decoder": {"net": decoder, "likelihood": self.likelihood.init()},
            "prior": prior,
        }
        return params, {"encoder": encoder_stats, "decoder": decoder_stats, "prior": prior_stats}

    @property
    def _moments_shape(self) -> tuple[int, ...]:
        return (1 if self.merged else 2, *self.latent_shape)

    def _feature_shape(self, x_shape: Shape) -> tuple[int, ...]:
        return (*x_shape[:2], self.likelihood.num_features(x_shape[2]))

    def posterior(
        self, params: Params, stats: Stats, images: Images,
        *, train: bool = False, rngs: stateful.Rngs = None,
    ) -> tuple[Normal, stateful.Statistics]:  # fmt: skip
        """Returns (q(z|x), the encoder's `Statistics`) for images in [0, 1], float [B, H, W, C]."""
        moments, statistics = self._moments(params, stats, images, train=train, rngs=rngs)
        return self._normal(params, moments), statistics

    def _moments(
        self, params: Params, stats: Stats, images: Images, **kwargs: Any
    ) -> tuple[Float[Array, "b m *z"], stateful.Statistics]:
        variables = params["encoder"], stats["encoder"]
        x = 2.0 * images - 1.0
        return stateful.apply(self.encoder, *variables, x, self._moments_shape, **kwargs)

    def _normal(self, params: Params, moments: Float[Array, "b m *z"]) -> Normal:
        """The posterior that the encoder's outputs describe."""
        mean = moments[:, 0]
        if self.merged:
            log_var = jnp.broadcast_to(self.prior.posterior_log_var(params["prior"]), mean.shape)
        else:
            log_var = self.log_var_floor + jax.nn.softplus(moments[:, 1] - self.log_var_floor)
        return Normal(mean, log_var)

    def encoded(self, params: Params, stats: Stats, batch: Batch) -> Float[Array, "b m *z"]:
        """The encoder's outputs, which `_normal` reads: mean and, if separate, raw log-variance."""
        return self._moments(params, stats, self._scaled(batch.input))[0]

    def _posterior_of(
        self, params: Params, stats: Stats, batch: Batch, **kwargs: Any
    ) -> tuple[Normal, stateful.Statistics]:
        """`posterior` of a batch: of what stands for the encoder's outputs where that is given."""
        if batch.encoded is None:
            return self.posterior(params, stats, self._scaled(batch.input), **kwargs)
        unchanged = stateful.Statistics(stats["encoder"], stats["encoder"])
        return self._normal(params, batch.encoded), unchanged

    def encode_fn(self, params: Params, stats: Stats) -> Encode:
        """What priors over data space call: images in [0, 1] to q, normalised by these stats."""
        return lambda images: self.posterior(params, stats, images)[0]

    def decode(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape,
        *, train: bool = False, rngs: stateful.Rngs = None,
    ) -> tuple[Float[Array, "b h w k"], stateful.Statistics]:  # fmt: skip
        """Returns (likelihood outputs [B, H, W, k], `Statistics`) for z [B, *latent_shape]."""
        features, statistics = stateful.apply(
            self.decoder,
            params["decoder"]["net"],
            stats["decoder"],
            z,
            self._feature_shape(x_shape),
            train=train,
            rngs=rngs,
        )
        return self.likelihood.attach(params["decoder"]["likelihood"], features), statistics

    def draw(self, rng: Key, batch: Batch, *, purpose: Purpose = "loss") -> Noise:
        """The prior's noise, a structure whose `z` is the posterior's."""
        return self.prior.draw(rng, len(batch.target), self.latent_shape, purpose=purpose)

    def _terms(self, *args: Any) -> Terms:
        return self._forward(*args)[0]

    def _forward(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, noise: Noise, train: bool
    ) -> tuple[Terms, Stats, Normal]:
        """The bound in one pass: (its Terms, new stats, q)."""
        prior_rng, net_rng = jax.random.split(rng)
        apart = train and self.training != "joint"
        params, train_nets = stages.frozen(self.training, params, train)
        of_net = [stateful.in_mode(train_nets, key) for key in jax.random.split(net_rng)]
        q, of_encoder = self._posterior_of(params, stats, batch, **of_net[0])
        # pseudo-inputs are normalised as the batch is, and never enter the running statistics
        seen = params, stats | {"encoder": of_encoder.used}
        seen = stop_gradient((params | {"prior": {}}, seen[1])) if apart else seen
        z, minus_rate = self.prior.rate(
            params["prior"],
            stats["prior"],
            stop_gradient(q) if apart else q,
            prior_rng,
            encode=self.encode_fn(*seen),
            noise=noise,
            train=train,
        )
        z = q.sample(noise.z) if apart else z
        outputs, of_decoder = self.decode(params, stats, z, batch.target.shape[1:], **of_net[1])
        log_prob = self.likelihood.log_prob(outputs, batch.target)
        new_stats = stats | {"encoder": of_encoder.running, "decoder": of_decoder.running}
        return Terms.of(likelihood=log_prob) + minus_rate, new_stats, q

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """The loss -log p(x|z) + beta(step) * rate, [B], and Aux with the un-annealed terms.

        Detached: -log p(x|z) + beta(step) * KL(q || N(0, I)) + rate on the detached latent.
        """
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        terms, new_stats, q = self._forward(params, stats, batch, rest_rng, noise, train)
        beta = stages.weight(self.beta, self.kl_warmup_steps, step)
        minus_rate = terms.value - terms.parts["likelihood"]
        loss = stages.loss(self.training, terms, minus_rate, q, beta)
        return loss, Aux(terms=terms, stats=new_stats, scalars={"beta": jnp.float32(beta)})

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]:
        """The weight log p(x|z) + log p(z) - log q(z|x) at one draw, [B]; sampled terms only."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="weight") if noise is None else noise
        z, weight = self.prior.log_prob_weight(
            params["prior"],
            stats["prior"],
            self._posterior_of(params, stats, batch)[0],
            rest_rng,
            encode=self.encode_fn(params, stats),
            noise=noise,
        )
        outputs, _ = self.decode(params, stats, z, batch.target.shape[1:])
        return self.likelihood.log_prob(outputs, batch.target) + weight

    def code_log_prob(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b"]:
        """Log density of the mean of q(z|x) under the prior, or the prior's bound on it, [B] nats.

        In the merged form its mean over the noise around that code, up to a constant.
        """
        q = self.prior_posterior(params, stats, batch)
        return self._log_prob_of_code(params, stats, q, rng, self.encode_fn(params, stats))

    def prior_posterior(self, params: Params, stats: Stats, batch: Batch) -> Normal:
        """The posterior of what the prior is over: q(z|x)."""
        return self.encode(params, stats, batch.input)

    def sample_latents(
        self, params: Params, stats: Stats, rng: Key | None, num: int, **kwargs: Any
    ) -> Float[Array, "{num} *z"]:
        """Draws latents of the prior, [num, *latent_shape]; kwargs are its sampler's, and noise."""
        how: dict[str, Any] = dict(z_shape=self.latent_shape, encode=self.encode_fn(params, stats))
        return self._from_prior(params, stats, rng, num, **how, **kwargs)

    def sample(
        self, params: Params, stats: Stats, rng: Key | None, num: int,
        *, x_shape: Shape, mean: bool = True, **kwargs: Any,
    ) -> Float[Array, "{num} h w c"]:  # fmt: skip
        """Draws images in [0, 1], [num, H, W, C]: the likelihood's means, or pixels from it."""
        prior_rng, pixel_rng = self._keys(rng, 2)
        z = self.sample_latents(params, stats, prior_rng, num, **kwargs)
        return self._drawn_image(self.decode(params, stats, z, x_shape)[0], pixel_rng, mean)

    def decode_mean(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape
    ) -> Float[Array, "b h w c"]:
        """The likelihood's mean image in [0, 1], [B, H, W, C], for z [B, *latent_shape]."""
        return self.likelihood.mean(self.decode(params, stats, z, x_shape)[0])

    def prior_images(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape
    ) -> Float[Array, "b h w c"]:
        """What latents of the prior look like, in [0, 1]."""
        return self.decode_mean(params, stats, z, x_shape)

    def encode(self, params: Params, stats: Stats, images: Levels) -> Normal:
        """The posterior q(z|x) of integer levels [B, H, W, C], as the encoder sees them."""
        return self.posterior(params, stats, self._scaled(images))[0]

    def reconstruct(
        self, params: Params, stats: Stats, images: Levels, rng: Key
    ) -> Float[Array, "b h w c"]:
        """Mean image in [0, 1] of one posterior draw, [B, H, W, C]."""
        q = self.encode(params, stats, images)
        z = q.sample(draws.normal(rng, q.mean.shape))
        return self.decode_mean(params, stats, z, images.shape[1:])


make = VAE
