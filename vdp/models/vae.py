"""A variational autoencoder with any prior over one latent z (Kingma & Welling 2014).

log p(x) >= E_q[log p(x|z)] + rate,  rate = -KL(q(z|x) || p(z)) or the prior's lower bound on it.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.dists import Normal
from vdp.types import Array, Aux, Batch, Likelihood, Noise, Prior, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE:
    """Encoder, decoder, prior and likelihood joined on one bound.

    Attributes:
      encoder, decoder: nets called as net(x, out_shape, train=...).
      latent_shape: of one z, a vector (16,) or a map (7, 7, 4).
      log_var_floor: the posterior's log-variance stays above it (softly); a diffusion prior's
        gamma_0 must lie below.
      input_levels: levels of the images the encoder sees.
      beta: weight of the rate in the loss; reported bounds never contain it.
      kl_warmup_steps: the weight rises linearly from 0 to beta over these steps.
    """

    encoder: nn.Module
    decoder: nn.Module
    prior: Prior
    likelihood: Likelihood
    latent_shape: tuple[int, ...]
    input_levels: int
    log_var_floor: float = -8.0
    beta: float = 1.0
    kl_warmup_steps: int = 0

    def __post_init__(self):
        if not self.latent_shape or min(self.latent_shape) < 1:
            raise ValueError(f"latent_shape must be positive sizes, not {self.latent_shape}")
        schedule = getattr(self.prior, "schedule", None)
        if schedule is not None and schedule.gamma_0_max > self.log_var_floor:
            raise ValueError(
                f"the prior's gamma_0 may reach {schedule.gamma_0_max}, above log_var_floor="
                f"{self.log_var_floor}: the prior cannot be sharper than exp(gamma_0), so lower "
                "gamma_0 (gamma_0_max where it is learned) or raise the floor"
            )

    @property
    def discrete(self) -> bool:
        """Whether the data's probabilities are masses, so that bits/dim are defined."""
        return self.likelihood.discrete

    @property
    def bound_model(self) -> str:
        """The model `elbo` bounds."""
        return self.prior.bound_model

    @property
    def weight_model(self) -> str:
        """The model `log_weight` estimates."""
        return self.prior.weight_model

    def discretized(self) -> "VAE":
        """The model with the prior its sampler draws from; itself for exact priors."""
        if not hasattr(self.prior, "discretized"):
            return self
        return dataclasses.replace(self, prior=self.prior.discretized())

    def init(self, rng, x_shape, *, data=None):
        """Parameters {"encoder", "decoder", "prior"} and stats of the same roles.

        Args:
          rng: a key.
          x_shape: (H, W, C).
          data: training images [N, H, W, C] for priors that start from data, or None.
        """
        encoder_rng, decoder_rng, prior_rng = jax.random.split(rng, 3)
        x, z = jnp.zeros((1, *x_shape)), jnp.zeros((1, *self.latent_shape))
        prior, prior_stats = self.prior.init(
            prior_rng, self.latent_shape, x_shape=x_shape, data=data
        )
        decoder = self.decoder.init(decoder_rng, z, self._feature_shape(x_shape))
        params = {
            "encoder": self.encoder.init(encoder_rng, x, (2, *self.latent_shape))["params"],
            "decoder": {"net": decoder["params"], "likelihood": self.likelihood.init()},
            "prior": prior,
        }
        return params, {"prior": prior_stats}

    def _feature_shape(self, x_shape):
        return (*x_shape[:2], self.likelihood.num_features(x_shape[2]))

    def posterior(self, params, images, *, train=False, rngs=None) -> Normal:
        """q(z|x) for integer levels [B, H, W, C]."""
        x = 2.0 * images.astype(jnp.float32) / (self.input_levels - 1) - 1.0
        moments = self.encoder.apply(
            {"params": params["encoder"]}, x, (2, *self.latent_shape), train=train, rngs=rngs
        )
        mean, raw = moments[:, 0], moments[:, 1]
        return Normal(mean, self.log_var_floor + jax.nn.softplus(raw - self.log_var_floor))

    def decode(self, params, z, x_shape, *, train=False, rngs=None) -> Array:
        """Likelihood outputs [B, H, W, num_outputs] for z [B, *latent_shape]."""
        features = self.decoder.apply(
            {"params": params["decoder"]["net"]},
            z,
            self._feature_shape(x_shape),
            train=train,
            rngs=rngs,
        )
        return self.likelihood.attach(params["decoder"]["likelihood"], features)

    def draw(self, rng, batch: Batch, *, purpose="loss") -> Noise:
        """The prior's noise, which includes the posterior's."""
        return self.prior.draw(rng, len(batch.target), self.latent_shape, purpose=purpose)

    def _terms(self, params, stats, batch, rng, noise, train) -> tuple[Terms, Normal]:
        prior_rng, net_rng = jax.random.split(rng)
        rngs = {"dropout": net_rng} if train else None
        q = self.posterior(params, batch.input, train=train, rngs=rngs)
        encode = lambda images: self.posterior(params, images)
        z, rate = self.prior.rate(
            params["prior"],
            stats["prior"],
            q,
            prior_rng,
            encode=encode,
            noise=noise,
            train=train,
        )
        outputs = self.decode(params, z, batch.target.shape[1:], train=train, rngs=rngs)
        return Terms.of(likelihood=self.likelihood.log_prob(outputs, batch.target)) + rate, q

    def loss(self, params, stats, batch, rng, *, step, train, noise=None):
        """-(log p(x|z) + beta(step) * rate), [B], and Aux with the un-annealed terms."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        terms, _ = self._terms(params, stats, batch, rest_rng, noise, train)
        warmup = jnp.minimum(1.0, (step + 1) / max(self.kl_warmup_steps, 1))
        beta = self.beta * (warmup if self.kl_warmup_steps else 1.0)
        likelihood = terms.parts["likelihood"]
        loss = -(likelihood + beta * (terms.value - likelihood))
        return loss, Aux(terms=terms, stats=stats, scalars={"beta": jnp.float32(beta)})

    def elbo(self, params, stats, batch, rng, *, noise=None) -> Terms:
        """The bound with all its parts, [B] nats; analytic KLs where the prior has them."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="elbo") if noise is None else noise
        return self._terms(params, stats, batch, rest_rng, noise, False)[0]

    def log_weight(self, params, stats, batch, rng, *, noise=None) -> Array:
        """Log p(x|z) + log p(z) - log q(z|x) at one draw, [B]; sampled terms only."""
        draw_rng, rest_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="weight") if noise is None else noise
        z, weight = self.prior.log_prob_weight(
            params["prior"],
            stats["prior"],
            self.posterior(params, batch.input),
            rest_rng,
            encode=lambda images: self.posterior(params, images),
            noise=noise,
        )
        outputs = self.decode(params, z, batch.target.shape[1:])
        return self.likelihood.log_prob(outputs, batch.target) + weight

    def sample(self, params, stats, rng, num, *, x_shape, mean=True, **kwargs) -> Array:
        """[num, H, W, C] images in [0, 1]: the likelihood's mean, or a draw from it."""
        prior_rng, pixel_rng = jax.random.split(rng)
        z = self.prior.sample(
            params["prior"],
            stats["prior"],
            prior_rng,
            num,
            z_shape=self.latent_shape,
            encode=lambda images: self.posterior(params, images),
            **kwargs,
        )
        outputs = self.decode(params, z, x_shape)
        if mean:
            return self.likelihood.mean(outputs)
        drawn = self.likelihood.sample(outputs, pixel_rng)
        return drawn.astype(jnp.float32) / (self.likelihood.levels - 1)

    def encode(self, params, stats, images) -> Normal:
        """q(z|x) of integer levels [B, H, W, C], as the encoder sees them."""
        return self.posterior(params, images)

    def reconstruct(self, params, stats, images, rng) -> Array:
        """Mean image in [0, 1] of one posterior draw, [B, H, W, C]."""
        q = self.posterior(params, images)
        z = q.sample(jax.random.normal(rng, q.mean.shape))
        return self.likelihood.mean(self.decode(params, z, images.shape[1:]))


make = VAE
