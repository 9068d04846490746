"""Autoencoders: a code z = g(x) and its reconstruction f(z), without a probability anywhere.

plain        |x - f(g(x))|^2, summed over the pixels of images in [0, 1]
denoising    |x - f(g(x~))|^2, x~ a corrupted x (Vincent et al. 2008, 2010)
robust       max |x - f(g(x + delta))|^2 over |delta|_2 <= radius
contractive  |x - f(g(x))|^2 + weight |dg/dx|_F^2 (Rifai et al. 2011)
"""

import dataclasses
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float

from vdp import draws
from vdp.dists import Normal, sum_nonbatch
from vdp.errors import UserError
from vdp.levels import to_unit
from vdp.models import perturbations
from vdp.models.base import check_latent_shape
from vdp.models.noise import BallStart, Corruption, JacobianProbes, NoNoise
from vdp.nets import stateful
from vdp.noise import expect
from vdp.settings.rules import Amount, Checked, OneOf, Share, Size, SizeOrNone
from vdp.types import (
    AnyArray,
    Array,
    Aux,
    Batch,
    Images,
    Key,
    Levels,
    Noise,
    Params,
    Purpose,
    Score,
    Shape,
    Stats,
    Terms,
)

OPTIONS: dict[str, tuple[str, ...]] = {  # of each kind
    "plain": (),
    "denoising": ("corruption", "masking"),
    "robust": ("radius", "ascent_steps"),
    "contractive": ("weight", "probes"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoencoder(Checked):
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
    latent_shape: tuple[Size, ...]
    levels: int
    input_levels: int
    kind: Annotated[str, OneOf(*OPTIONS)] = "plain"
    corruption: Amount = 0.0
    masking: Share = 0.0
    radius: Amount = 0.0
    ascent_steps: SizeOrNone = 0
    weight: Amount = 0.0
    probes: SizeOrNone = 0
    score: ClassVar[Score] = Score(
        name="squared_error", label="reconstruction", unit="squared error an image", sign=-1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_latent_shape(self.latent_shape)
        for kind, names in OPTIONS.items():
            for name in names:
                if kind != self.kind and getattr(self, name):
                    raise UserError(f"{name} is of kind={kind!r}, not of kind={self.kind!r}")
        if self.kind == "denoising" and not self.corruption + self.masking:
            raise UserError("denoising needs a corruption above 0, a masking in (0, 1), or both")
        if self.kind == "robust" and not (self.radius > 0 and self.ascent_steps > 0):
            raise UserError("robust needs a radius and ascent_steps above 0")
        if self.kind == "contractive" and not self.weight > 0:
            raise UserError("contractive needs a weight above 0")
        # no noise: of an encoder that starts at zero all codes are one, and no gradient moves them
        object.__setattr__(self, "encoder", stateful.not_from_zero(self.encoder))

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """Parameters and stats, each {"encoder", "decoder"}.

        Raises:
          UserError: a contractive model whose encoder keeps statistics, as with BatchNorm.
        """
        encoder_rng, decoder_rng = jax.random.split(rng)
        x, z = jnp.zeros((1, *x_shape)), jnp.zeros((1, *self.latent_shape))
        encoder, encoder_stats = stateful.init(self.encoder, encoder_rng, x, self.latent_shape)
        decoder, decoder_stats = stateful.init(self.decoder, decoder_rng, z, x_shape)
        if self.kind == "contractive" and encoder_stats:
            raise UserError(
                "kind='contractive' needs the Jacobian of each example alone, which an encoder "
                "that keeps statistics, as with BatchNorm, does not have: choose one without, as "
                "ConvEncoder or FeedForward"
            )
        stats = {"encoder": encoder_stats, "decoder": decoder_stats}
        return {"encoder": encoder, "decoder": decoder}, stats

    def code(
        self, params: Params, stats: Stats, images: Images, **net_kwargs: Any
    ) -> tuple[Float[Array, "b *z"], stateful.Statistics]:
        """Encodes images in [0, 1]: (g(x) [B, *latent_shape], the encoder's `Statistics`)."""
        variables = params["encoder"], stats["encoder"]
        return stateful.apply(
            self.encoder, *variables, 2.0 * images - 1.0, self.latent_shape, **net_kwargs
        )

    def decode(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape,
        **net_kwargs: Any,
    ) -> tuple[Float[Array, "b h w c"], stateful.Statistics]:  # fmt: skip
        """Decodes z: (f(z) [B, H, W, C], unclipped, in units of images in [0, 1]; `Statistics`)."""
        variables = params["decoder"], stats["decoder"]
        output, statistics = stateful.apply(self.decoder, *variables, z, x_shape, **net_kwargs)
        return (output + 1.0) / 2.0, statistics

    def errors(
        self, params: Params, stats: Stats, seen: Images, target: Images
    ) -> Float[Array, "b"]:
        """Squared errors |target - f(g(seen))|^2, [B], of images in [0, 1] as in evaluation."""
        z, _ = self.code(params, stats, seen)
        decoded, _ = self.decode(params, stats, z, target.shape[1:])
        return sum_nonbatch(jnp.square(target - decoded))

    def _images(self, batch: Batch) -> tuple[Images, Images]:
        """Input and target of a batch in [0, 1]."""
        seen, target = to_unit(batch.input, self.input_levels), to_unit(batch.target, self.levels)
        return seen, target

    @property
    def _training_noise(self) -> type:
        """The structure that the loss of this kind is made of."""
        kinds = {"denoising": Corruption, "robust": BallStart}
        return kinds.get(self.kind, JacobianProbes if self.probes else NoNoise)

    def draw(
        self, rng: Key, batch: Batch, *, purpose: Purpose = "loss"
    ) -> NoNoise | Corruption | BallStart | JacobianProbes:
        """What the loss of this kind needs; the error of the clean image needs `NoNoise`."""
        first, second = jax.random.split(rng)
        shape, num = batch.input.shape, len(batch.input)
        kind = self._training_noise if purpose == "loss" else NoNoise
        if kind is Corruption:
            kept = draws.bernoulli(second, jnp.full(shape, 1.0 - self.masking))
            return Corruption(eps=draws.normal(first, shape), kept=kept)
        if kind is BallStart:
            return BallStart(start=perturbations.in_unit_ball(first, shape))
        if kind is JacobianProbes:
            signs = (num, self.probes, *self.latent_shape)
            return JacobianProbes(signs=draws.signs(first, signs))
        return NoNoise()

    def worst(
        self,
        params: Params,
        stats: Stats,
        images: Images,
        target: Images,
        start: Float[Array, "b h w c"],
    ) -> Float[Array, "b h w c"]:
        """The worst perturbation of images that a search in the ball meets, [B, H, W, C].

        It is the worst for the nets as in evaluation: without dropout, by running statistics. No
        gradient passes through the search.

        Args:
          params: of `init`.
          stats: of `init`.
          images: what is perturbed, in [0, 1].
          target: what the reconstruction is compared with, in [0, 1].
          start: in the unit ball of each example; the search begins at `radius` times it.
        """
        params, stats, images, target = stop_gradient((params, stats, images, target))
        errors = lambda delta: self.errors(params, stats, images + delta, target)
        return perturbations.worst(errors, start, radius=self.radius, steps=self.ascent_steps)

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """The loss of this kind, [B], and Aux whose terms are minus its squared error.

        Raises:
          UserError: the noise of another kind.
        """
        draw_rng, net_rng = jax.random.split(rng)
        noise = self.draw(draw_rng, batch, purpose="loss") if noise is None else noise
        by, instead = f"the loss of kind={self.kind!r}", "draw it with purpose='loss'"
        expect(noise, self._training_noise, by=by, instead=instead)
        of_net = [stateful.in_mode(train, key) for key in jax.random.split(net_rng)]
        encode = lambda seen: self.code(params, stats, seen, **of_net[0])
        seen, target = self._images(batch)
        penalty: Any = 0.0
        scalars: dict[str, Array] = {}
        if self.kind == "denoising":
            seen = perturbations.corrupted(seen, noise.eps, noise.kept, self.corruption)
        if self.kind == "robust":
            seen = seen + self.worst(params, stats, seen, target, noise.start)
        if self.kind == "contractive":
            z, pull, of_encoder = jax.vjp(encode, seen, has_aux=True)
            signs = noise.signs if self.probes else None
            squares = perturbations.squared_jacobian(pull, z, signs)
            penalty, scalars = self.weight * squares, {"squared_jacobian": jnp.mean(squares)}
        else:
            z, of_encoder = encode(seen)
        decoded, of_decoder = self.decode(params, stats, z, target.shape[1:], **of_net[1])
        terms = Terms.of(squared_error=-sum_nonbatch(jnp.square(target - decoded)))
        new_stats = {"encoder": of_encoder.running, "decoder": of_decoder.running}
        return penalty - terms.value, Aux(terms=terms, stats=new_stats, scalars=scalars)

    def evaluate(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Terms:
        """Minus the squared error |x - f(g(x))|^2 of clean images, [B]: what validations compare.

        Raises:
          UserError: a noise that would change the image.
        """
        if noise is not None:
            by, instead = "the error of the clean image", "draw it with purpose='elbo'"
            expect(noise, NoNoise, by=by, instead=instead)
        return Terms.of(squared_error=-self.errors(params, stats, *self._images(batch)))

    def decode_mean(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape
    ) -> Float[Array, "b h w c"]:
        """The decoded image f(z) clipped to [0, 1], [B, H, W, C], for z [B, *latent_shape]."""
        return jnp.clip(self.decode(params, stats, z, x_shape)[0], 0.0, 1.0)

    def encode(self, params: Params, stats: Stats, images: Levels) -> Normal:
        """The point g(x) of integer levels [B, H, W, C]: a Normal without variance."""
        z, _ = self.code(params, stats, jnp.asarray(to_unit(images, self.input_levels)))
        return Normal(z, jnp.full_like(z, -jnp.inf))

    def reconstruct(
        self, params: Params, stats: Stats, images: Levels, rng: Key
    ) -> Float[Array, "b h w c"]:
        """The reconstruction f(g(x)) clipped to [0, 1], [B, H, W, C]; nothing is drawn."""
        z = self.encode(params, stats, images).mean
        return self.decode_mean(params, stats, z, images.shape[1:])


make = Autoencoder
