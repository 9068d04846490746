"""What priors with an exact density share: one posterior draw, and log p at it."""

import jax

from vdp.diffusion.noise import expect
from vdp.dists import Normal
from vdp.priors.noise import PosteriorNoise
from vdp.types import Array, Terms


class DensityPrior:
    """Base of priors that implement `log_prob(params, stats, z, encode)` and `sample`."""

    bound_model = "exact"
    weight_model = "exact"

    def log_prob(self, params, stats, z, encode=None) -> Array:
        """log p(z), [B] nats, of z [B, *z_shape]; `encode` maps images in [0, 1] to q(z|x)."""
        raise NotImplementedError

    def draw(self, rng, num, z_shape, *, purpose) -> PosteriorNoise:
        """The noise of one posterior draw, whatever the purpose."""
        return PosteriorNoise(z=jax.random.normal(rng, (num, *z_shape)))

    def _posterior_draw(self, q: Normal, rng, noise, purpose) -> Array:
        num, *z_shape = q.mean.shape
        noise = self.draw(rng, num, z_shape, purpose=purpose) if noise is None else noise
        instead = "this prior draws it"
        expect(noise, PosteriorNoise, by="the estimate of an exact density", instead=instead)
        return q.sample(noise.z)

    def rate(
        self, params, stats, q, rng, *, encode=None, noise=None, train=False
    ) -> tuple[Array, Terms]:
        """z ~ q and *minus* the rate, {"entropy": H[q] exactly, "log_prob": log p(z)}.

        Its mean is -KL(q || p).
        """
        z = self._posterior_draw(q, rng, noise, "elbo")
        return z, Terms.of(entropy=q.entropy(), log_prob=self.log_prob(params, stats, z, encode))

    def log_prob_bound(self, params, stats, z, rng, *, encode=None) -> Terms:
        """{"log_prob": log p(z)}, exact."""
        return Terms.of(log_prob=self.log_prob(params, stats, z, encode))

    def log_prob_weight(self, params, stats, q, rng, *, encode=None, noise=None):
        """z ~ q and log p(z) - log q(z) at that z."""
        z = self._posterior_draw(q, rng, noise, "weight")
        return z, self.log_prob(params, stats, z, encode) - q.log_prob(z)
