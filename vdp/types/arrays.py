"""The data that flows between the rooms: kinds of arrays by name, and structures of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from flax import struct
from jaxtyping import Float, Int32, Integer, PRNGKeyArray, UInt8

Array = jax.Array
AnyArray = jax.Array | np.ndarray
SameArray = TypeVar("SameArray", jax.Array, np.ndarray, AnyArray)  # numpy for numpy, jax for jax
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # of N images: target, input, labels
Levels = Integer[AnyArray, "b h w c"]  # images as integer levels
Images = Float[AnyArray, "b h w c"]  # images in [0, 1]
Shape = Sequence[int]
Key = PRNGKeyArray  # of `jax.random.key`, or an old one of `jax.random.PRNGKey`
Params = Any  # nested dicts of arrays, keyed by role: encoder, decoder, prior
Stats = Any  # constants taken from data and running statistics: never trained, never counted
Encode = Callable[[Array], Any]  # images in [0, 1], [N, H, W, C], to q(z|x), a `dists.Normal`
# a pytree of arrays with leading axis B: everything random of one evaluation, as a structure of
# vdp/diffusion/noise.py (a diffusion estimate), of vdp/priors/noise.py (a prior) or of
# vdp/models/noise.py (a model); `Any`, because what takes one refuses every other in words
# (`vdp.noise.expect`)
Noise = Any
Purpose = Literal["loss", "elbo", "weight", "sample"]
# loss: one diffusion time per example, a low-discrepancy grid over the global batch; elbo: many, so
# that the standard error over examples is right; weight: a whole noise path, for importance weights
# sample: what the samples of a prior are made of; a model draws that by `draw_sample`


@struct.dataclass(kw_only=True)
class Terms:
    """Log-probabilities in nats, higher is better: `value` [B] is the sum of `parts` [B].

    `aside`, [B] too, is no part of the value: a training writes it into metrics.jsonl.
    """

    value: Float[Array, "b"]
    parts: dict[str, Float[Array, "b"]]
    aside: dict[str, Float[Array, "b"]] = struct.field(default_factory=dict)

    @classmethod
    def of(cls, **parts: Float[Array, "b"]) -> "Terms":
        """The terms whose value is the sum of the named parts."""
        first, *others = parts.values()
        return cls(value=sum(others, first), parts=parts)

    def __add__(self, other: "Terms") -> "Terms":
        both = Terms.of(**self.parts, **other.parts)
        return dataclasses.replace(both, aside=self.aside | other.aside)


@struct.dataclass(kw_only=True)
class Batch:
    """Images as integer levels, uint8 [B, H, W, C].

    `target` is what the likelihood scores, `input` what the encoder sees; `label` is int32 [B],
    -1 where there is none. `encoded` stands for what the encoder says of `input`, where it is not
    to be asked (`Refinable`).
    """

    target: UInt8[Array, "b h w c"]
    input: UInt8[Array, "b h w c"]
    label: Int32[Array, "b"]
    encoded: Any = None


@struct.dataclass(kw_only=True)
class Aux:
    """What a loss returns besides its value: un-annealed terms, updated statistics, scalars."""

    terms: Terms
    stats: Stats
    scalars: dict[str, Array]
