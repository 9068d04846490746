"""Bernoulli pixels; one logit a channel."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp import dists
from vdp.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """p(x = 1) = sigmoid(logit) for x in {0, 1}."""

    levels: int = 2
    discrete = True

    def __post_init__(self):
        if self.levels != 2:
            raise UserError(
                f"a Bernoulli likelihood needs images of 2 levels, these have {self.levels}: set "
                "data.binarization=dynamic or choose the likelihood discretized_logistic"
            )

    def init(self):
        """No parameters of its own."""
        return {}

    def num_features(self, channels):
        """Channels the decoder's network has to give."""
        return channels

    def attach(self, params, features):
        """Decoder features are the outputs."""
        return features

    def num_outputs(self, channels):
        """Channels of `outputs`."""
        return channels

    def log_prob(self, outputs, target):
        """Sum of log p over pixels, [B]."""
        return dists.sum_nonbatch(dists.bernoulli_log_prob(outputs.astype(jnp.float32), target))

    def sample(self, outputs, rng):
        """A draw, uint8 in {0, 1}."""
        return jax.random.bernoulli(rng, jax.nn.sigmoid(outputs)).astype(jnp.uint8)

    def mean(self, outputs):
        """Expected image in [0, 1]."""
        return jax.nn.sigmoid(outputs)


make = Bernoulli
