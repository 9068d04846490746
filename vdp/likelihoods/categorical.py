"""A softmax over levels by their distance to a location: VDM's end term (Kingma et al. 2021)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Int, Real, UInt8

from vdp import dists, draws
from vdp.likelihoods.location_scale import LocationScale
from vdp.types import AnyArray, Array, Key, Levels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Categorical(LocationScale):
    """A softmax_v(-(location - v)^2 / (2 scale^2)) at the middles v = 2 (x + 1/2)/levels - 1.

    Sums over levels run one level after the other: memory does not grow with their number.
    """

    discrete = True

    def position(self, level: Real[AnyArray, "*s"]) -> Float32[AnyArray, "*s"]:
        """The middle of a level's share of [-1, 1], float32."""
        return 2.0 * (level.astype(jnp.float32) + 0.5) / self.levels - 1.0

    @property
    def bin_width(self) -> float:
        """Distance of two levels' positions."""
        return 2.0 / self.levels

    def _logits(
        self, outputs: Float[Array, "b h w n"]
    ) -> Callable[[Real[AnyArray, "..."]], Float32[Array, "b h w c"]]:
        """Returns level -> -(location - v)^2/(2 scale^2), less the nearest level's: at most 0."""
        location, log_scale = self.split(outputs)
        precision = jnp.exp(-2 * log_scale)
        nearest = jnp.clip(jnp.floor((location + 1) / 2 * self.levels), 0, self.levels - 1)

        def logits(level: Real[AnyArray, "..."]) -> Float32[Array, "b h w c"]:
            # a product of whole numbers: a difference of squares would not be 0
            apart = self.bin_width * (level.astype(jnp.float32) - nearest)
            together = self.position(level) + self.position(nearest)
            return 0.5 * precision * apart * (2 * location - together)

        return logits

    def _total(self, outputs: Float[Array, "b h w n"], term: Callable[[Array, Array], Any]) -> Any:
        """Sum over levels of term(level, logit), a pytree of arrays."""
        logits = self._logits(outputs)
        levels = jnp.arange(self.levels)
        add = jax.checkpoint(lambda level: term(level, logits(level)))
        start = jax.tree.map(jnp.zeros_like, jax.eval_shape(add, levels[0]))
        total = lambda sums, level: (jax.tree.map(jnp.add, sums, add(level)), None)
        return jax.lax.scan(total, start, levels)[0]

    def log_prob(self, outputs: Float[Array, "b h w n"], target: Levels) -> Float32[Array, "b"]:
        """Sum of log masses over pixels, [B]."""
        mass = self._total(outputs, lambda level, logit: jnp.exp(logit))
        return dists.sum_nonbatch(self._logits(outputs)(target) - jnp.log(mass))

    def sample(self, outputs: Float[Array, "b h w n"], rng: Key) -> UInt8[Array, "b h w c"]:
        """A draw, uint8 levels: the largest of the logits plus Gumbel noise."""
        logits = self._logits(outputs)
        shape = self.split(outputs)[0].shape

        def compare(
            best: tuple[Array, Array], level: Int[Array, ""]
        ) -> tuple[tuple[Array, Array], None]:
            score = logits(level) + draws.gumbel(jax.random.fold_in(rng, level), shape)
            better = score > best[0]
            return (jnp.where(better, score, best[0]), jnp.where(better, level, best[1])), None

        start = (jnp.full(shape, -jnp.inf), jnp.zeros(shape, jnp.int32))
        (_, level), _ = jax.lax.scan(compare, start, jnp.arange(self.levels))
        return level.astype(jnp.uint8)

    def mean(self, outputs: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """Expected level / (levels - 1), in [0, 1]."""

        def terms(level: Array, logit: Array) -> tuple[Array, Array]:
            mass = jnp.exp(logit)
            return mass, mass * level

        mass, weighted = self._total(outputs, terms)
        return weighted / mass / (self.levels - 1)


make = Categorical
