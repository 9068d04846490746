"""VampPrior: the mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018)."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.dists import mixture_log_prob
from vdp.errors import UserError
from vdp.levels import to_unit
from vdp.priors.density import DensityPrior
from vdp.types import Array

MARGIN = 0.02  # initial pseudo-inputs stay this far inside [0, 1], where the sigmoid still moves


@dataclasses.dataclass(frozen=True, kw_only=True)
class VampPrior(DensityPrior):
    """log p(z) = logsumexp_k log q(z|u_k) - log K; u_k in data space, kept in [0, 1] by a sigmoid.

    `encode` normalises the pseudo-inputs by the statistics of the data, so BatchNorm's averages
    never see them.

    Attributes:
      num_components: K.
      input_levels: levels of the images the encoder sees; given by the data.
    """

    input_levels: int
    num_components: int = 500

    def __post_init__(self):
        if self.num_components < 1:
            raise UserError(f"num_components must be at least 1, not {self.num_components}")

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        """Returns {"logit_inputs": [K, H, W, C]}, starting at random images of `data`; no stats."""
        choice_rng, noise_rng = jax.random.split(rng)
        if data is None:
            images = jax.random.uniform(noise_rng, (self.num_components, *x_shape))
        else:
            replace = len(data) < self.num_components
            shape = (self.num_components,)
            index = jax.random.choice(choice_rng, len(data), shape, replace=replace)
            images = to_unit(data[index], self.input_levels)
        images = jnp.clip(images, MARGIN, 1 - MARGIN)
        return {"logit_inputs": jnp.log(images) - jnp.log1p(-images)}, {}

    def pseudo_inputs(self, params) -> Array:
        """u_k in [0, 1], [K, H, W, C]."""
        return jax.nn.sigmoid(params["logit_inputs"])

    def log_prob(self, params, stats, z, encode=None) -> Array:
        """log p(z), [B]; `encode` maps images in [0, 1] to q."""
        uniform = jnp.full(self.num_components, -jnp.log(self.num_components))
        return mixture_log_prob(uniform, encode(self.pseudo_inputs(params)), z)

    def sample(self, params, stats, rng, num, *, z_shape, encode=None, temperature=1.0) -> Array:
        """[num, *z_shape] draws from q(z|u_k) of random k; `temperature` scales deviations."""
        choice_rng, noise_rng = jax.random.split(rng)
        index = jax.random.randint(choice_rng, (num,), 0, self.num_components)
        components = encode(self.pseudo_inputs(params))
        chosen = jax.tree.map(lambda leaf: leaf[index], components)
        return chosen.sample(temperature * jax.random.normal(noise_rng, (num, *z_shape)))


make = VampPrior
