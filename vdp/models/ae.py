"""Autoencoders: a code z = g(x) and its reconstruction f(z), without a probability anywhere.

plain        |x - f(g(x))|^2, summed over the pixels of images in [0, 1]
denoising    |x - f(g(x~))|^2, x~ a corrupted x (Vincent et al. 2008, 2010)
robust       max |x - f(g(x + delta))|^2 over |delta|_2 <= radius
contractive  |x - f(g(x))|^2 + weight |dg/dx|_F^2 (Rifai et al. 2011)
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from vdp.dists import Normal, sum_nonbatch
from vdp.errors import UserError
from vdp.models import _smooth
from vdp.nets import apply as nets
from vdp.score import Score
from vdp.types import Array, Aux, Batch, Noise, Terms

OPTIONS = {  # of each kind
    "plain": (),
    "denoising": ("corruption", "masking"),
    "robust": ("radius", "ascent_steps"),
    "contractive": ("weight", "probes"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """Encoder and decoder joined on a squared error.

    Attributes:
      encoder, decoder: nets called as net(x, out_shape, train=...).
      latent_shape: of one code, a vector (16,) or a map (7, 7, 4).
      levels, input_levels: of the targets, and of the images the encoder sees; given by the data.
      kind: one of OPTIONS; the options of the others stay 0.
      corruption: standard deviation of Gaussian noise on the input, images in [0, 1].
      masking: share of the input's numbers that are set to 0, after the noise.
      radius: of the ball of perturbations, likewise.
      ascent_steps: gradients the search for the worst of them takes.
      weight: of the squared Jacobian dg/dx, x in [0, 1].
      probes: random signs per example that estimate it; 0: exactly, by as many products as the
        code has numbers.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_shape: tuple[int, ...]
    levels: int
    input_levels: int
    kind: str = "plain"
    corruption: float = 0.0
    masking: float = 0.0
    radius: float = 0.0
    ascent_steps: int = 0
    weight: float = 0.0
    probes: int = 0
    discrete: ClassVar[bool] = False
    score: ClassVar[Score] = Score(
        name="squared_error", label="reconstruction", unit="squared error an image", sign=-1.0
    )

    def __post_init__(self):
        if not self.latent_shape or min(self.latent_shape) < 1:
            raise ValueError(f"latent_shape must be positive sizes, not {self.latent_shape}")
        if self.kind not in OPTIONS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(OPTIONS)}")
        for kind, names in OPTIONS.items():
            for name in names:
                if kind != self.kind and getattr(self, name):
                    raise ValueError(f"{name} is of kind={kind!r}, not of kind={self.kind!r}")
        corruptions = self.corruption >= 0 and 0 <= self.masking < 1
        if self.kind == "denoising" and not (corruptions and self.corruption + self.masking):
            raise ValueError("denoising needs a corruption above 0, a masking in (0, 1), or both")
        if self.kind == "robust" and not (self.radius > 0 and self.ascent_steps > 0):
            raise ValueError("robust needs a radius and ascent_steps above 0")
        if self.kind == "contractive" and not (self.weight > 0 and self.probes >= 0):
            raise ValueError("contractive needs a weight above 0 and probes not below 0")

    def init(self, rng, x_shape, *, data=None):
        """Parameters and stats, each {"encoder", "decoder"}.

        Raises:
          UserError: a contractive model whose encoder normalises over the batch.
        """
        encoder_rng, decoder_rng = jax.random.split(rng)
        x, z = jnp.zeros((1, *x_shape)), jnp.zeros((1, *self.latent_shape))
        encoder, encoder_stats = nets.init(self.encoder, encoder_rng, x, self.latent_shape)
        decoder, decoder_stats = nets.init(self.decoder, decoder_rng, z, x_shape)
        if self.kind == "contractive" and encoder_stats:
            raise UserError(
                "kind='contractive' needs the Jacobian of each example alone, which an encoder "
                "with BatchNorm does not have: choose one without, as ConvEncoder or FeedForward"
            )
        stats = {"encoder": encoder_stats, "decoder": decoder_stats}
        return {"encoder": encoder, "decoder": decoder}, stats

    def code(self, params, stats, images, **net_kwargs):
        """(g(x) [B, *latent_shape], statistics used) of images in [0, 1], float [B, H, W, C]."""
        own = params["encoder"], stats["encoder"]
        return nets.apply(self.encoder, *own, 2.0 * images - 1.0, self.latent_shape, **net_kwargs)

    def decode(self, params, stats, z, x_shape, **net_kwargs):
        """(f(z) [B, H, W, C], statistics used), in units of images in [0, 1] but not clipped."""
        own = params["decoder"], stats["decoder"]
        output, used_stats = nets.apply(self.decoder, *own, z, x_shape, **net_kwargs)
        return (output + 1.0) / 2.0, used_stats

    def errors(self, params, stats, seen, target) -> Array:
        """|target - f(g(seen))|^2, [B], images in [0, 1]; the nets as in evaluation."""
        z, _ = self.code(params, stats, seen)
        decoded, _ = self.decode(params, stats, z, target.shape[1:])
        return sum_nonbatch(jnp.square(target - decoded))

    def _images(self, batch: Batch):
        """(input, target) in [0, 1]."""
        scaled = lambda levels, num: levels.astype(jnp.float32) / (num - 1)
        return scaled(batch.input, self.input_levels), scaled(batch.target, self.levels)

    def draw(self, rng, batch: Batch, *, purpose="loss") -> Noise:
        """What the loss of this kind needs; the error of the clean image needs nothing.

        {"noise", "kept"} [B, H, W, C], normal and bool; {"start"} [B, H, W, C] in the unit ball; or
        {"probes"} [B, probes, *latent_shape], signs.
        """
        first, second = jax.random.split(rng)
        shape, num = batch.input.shape, len(batch.input)
        if purpose == "loss" and self.kind == "denoising":
            kept = jax.random.bernoulli(second, 1.0 - self.masking, shape)
            return {"noise": jax.random.normal(first, shape), "kept": kept}
        if purpose == "loss" and self.kind == "robust":
            return {"start": _smooth.in_unit_ball(first, shape)}
        if purpose == "loss" and self.probes:
            signs = (num, self.probes, *self.latent_shape)
            return {"probes": jax.random.rademacher(first, signs, jnp.float32)}
        return {}

    def worst(self, params, stats, images, target, start) -> Array:
        """The worst perturbation found of images in [0, 1], [B, H, W, C], from radius * start.

        It is the worst for the nets as in evaluation: without dropout, by running statistics. No
        gradient passes through the search.
        """
        params, stats, images, target = stop_gradient((params, stats, images, target))
        errors = lambda delta: self.errors(params, stats, images + delta, target)
        return _smooth.worst(errors, start, radius=self.radius, steps=self.ascent_steps)

    def loss(self, params, stats, batch, rng, *, step, train, noise=None):
        """The loss of this kind, [B], and Aux whose terms are minus its squared error."""
        draw_rng, net_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        net_kwargs = {"train": train, "rngs": {"dropout": net_rng} if train else None}
        encode = lambda seen: self.code(params, stats, seen, **net_kwargs)
        seen, target = self._images(batch)
        penalty, scalars = 0.0, {}
        if self.kind == "denoising":
            seen = _smooth.corrupted(seen, noise["noise"], noise["kept"], self.corruption)
        if self.kind == "robust":
            seen = seen + self.worst(params, stats, seen, target, noise["start"])
        if self.kind == "contractive":
            z, pull, encoder_stats = jax.vjp(encode, seen, has_aux=True)
            squares = _smooth.squared_jacobian(pull, z, noise.get("probes"))
            penalty, scalars = self.weight * squares, {"squared_jacobian": jnp.mean(squares)}
        else:
            z, encoder_stats = encode(seen)
        decoded, decoder_stats = self.decode(params, stats, z, target.shape[1:], **net_kwargs)
        terms = Terms.of(squared_error=-sum_nonbatch(jnp.square(target - decoded)))
        used = {"encoder": encoder_stats, "decoder": decoder_stats}
        new_stats = {role: nets.averaged(stats[role], used[role]) for role in used}
        return penalty - terms.value, Aux(terms=terms, stats=new_stats, scalars=scalars)

    def elbo(self, params, stats, batch, rng, *, noise=None) -> Terms:
        """-|x - f(g(x))|^2 of the clean image, [B]: no bound, but what validation compares by."""
        return Terms.of(squared_error=-self.errors(params, stats, *self._images(batch)))

    def decode_mean(self, params, stats, z, x_shape) -> Array:
        """f(z) clipped to [0, 1], [B, H, W, C], for z [B, *latent_shape]."""
        return jnp.clip(self.decode(params, stats, z, x_shape)[0], 0.0, 1.0)

    def encode(self, params, stats, images) -> Normal:
        """The point g(x) of integer levels [B, H, W, C]: a Normal without variance."""
        z, _ = self.code(params, stats, images.astype(jnp.float32) / (self.input_levels - 1))
        return Normal(z, jnp.full_like(z, -jnp.inf))

    def reconstruct(self, params, stats, images, rng) -> Array:
        """f(g(x)) clipped to [0, 1], [B, H, W, C]."""
        z = self.encode(params, stats, images).mean
        return self.decode_mean(params, stats, z, images.shape[1:])


make = Autoencoder
