"""What priors with an exact density share: one posterior draw, and log p at it."""

from typing import Any

from jaxtyping import Float, Float32

from vdp import draws
from vdp.dists import Normal
from vdp.noise import expect, expect_shape, required
from vdp.priors.noise import BaseNoise, PosteriorNoise
from vdp.types import Array, Encode, Key, Noise, Params, Purpose, Shape, Stats, Terms

ESTIMATE = "the estimate of an exact density"
SAMPLE = "a sample of this prior"


class DensityPrior:
    """Base of priors that implement `init`, `log_prob` and `sample`.

    `vdp.priors` says what the arguments of all methods are.
    """

    bound_model = "exact"
    weight_model = "exact"
    points: tuple[str, ...] = ()  # names of parameters that are no weights: L2 leaves them

    def log_prob(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        encode: Encode | None = None,
    ) -> Float32[Array, "b"]:
        """Log density log p(z), [B] nats, of z [B, *z_shape].

        Args:
          params: of `init`.
          stats: of `init`.
          z: latents, [B, *z_shape].
          encode: images in [0, 1], [N, H, W, C], to q(z|x); for priors whose parameters are images.
        """
        raise NotImplementedError

    def draw(self, rng: Key, num: int, z_shape: Shape, *, purpose: Purpose) -> Any:
        """The noise of one posterior draw or, for purpose="sample", a `BaseNoise` of samples.

        A prior whose samples are made of other noise draws a structure of its own for that purpose.
        """
        z = draws.normal(rng, (num, *z_shape))
        return BaseNoise(z=z) if purpose == "sample" else PosteriorNoise(z=z)

    def _noise_of_sample(
        self, kind: type, noise: Noise, rng: Key | None, num: int, z_shape: Shape
    ) -> Any:
        """`noise`, which has to be of `kind` for `num` latents, or where it is None a draw of it.

        Raises:
          UserError: another noise, one for other latents, or neither noise nor key.
        """
        if noise is None:
            rng = required(rng, by=SAMPLE)
            return self.draw(rng, num, z_shape, purpose="sample")
        expect(noise, kind, by=SAMPLE, instead="it draws it for purpose='sample'")
        expect_shape(noise.z, (num, *z_shape), by=SAMPLE)
        return noise

    def _posterior_draw(
        self, q: Normal, rng: Key | None, noise: Noise, purpose: Purpose
    ) -> Float[Array, "b *s"]:
        """z ~ q by `noise`, or where it is None by what is drawn; UserError for another noise."""
        num, *z_shape = q.mean.shape
        if noise is None:
            noise = self.draw(required(rng, by=ESTIMATE), num, z_shape, purpose=purpose)
        expect(noise, PosteriorNoise, by=ESTIMATE, instead="this prior draws it")
        return q.sample(noise.z)

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
        """Draws z ~ q, and *minus* the rate, {"entropy": H[q] exactly, "log_prob": log p(z)}.

        Its mean is -KL(q || p).

        Raises:
          UserError: a noise that is no `PosteriorNoise`, or neither key nor noise.
        """
        z = self._posterior_draw(q, rng, noise, "elbo")
        return z, Terms.of(entropy=q.entropy(), log_prob=self.log_prob(params, stats, z, encode))

    def log_prob_bound(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        rng: Key | None,
        *,
        encode: Encode | None = None,
    ) -> Terms:
        """The exact {"log_prob": log p(z)}."""
        return Terms.of(log_prob=self.log_prob(params, stats, z, encode))

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
        """Draws z ~ q, and the importance weight log p(z) - log q(z) at that z.

        Raises:
          UserError: as of `rate`.
        """
        z = self._posterior_draw(q, rng, noise, "weight")
        return z, self.log_prob(params, stats, z, encode) - q.log_prob(z)
