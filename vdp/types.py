"""The data that flows between the rooms, and the protocols the components keep (no code)."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import jax
from flax import struct

Array = jax.Array
Params = Any  # nested dicts of arrays, keyed by role: encoder, decoder, prior
Stats = Any  # constants taken from data and running statistics: never trained, never counted
Noise = Any  # a pytree of arrays with leading axis B: everything random of one evaluation
Purpose = Literal["loss", "elbo", "weight"]
# loss:   one diffusion time per example, a low-discrepancy grid over the global batch
# elbo:   many times per example, so that the standard error over examples is right
# weight: a whole noise path per example, for importance weights


@struct.dataclass(kw_only=True)
class Terms:
    """Log-probabilities in nats, higher is better: `value` [B] is the sum of `parts` [B]."""

    value: Array
    parts: dict[str, Array]

    @classmethod
    def of(cls, **parts: Array) -> "Terms":
        """Returns the terms whose value is the sum of the named parts."""
        return cls(value=sum(parts.values()), parts=parts)

    def __add__(self, other: "Terms") -> "Terms":
        return Terms.of(**self.parts, **other.parts)


@struct.dataclass(kw_only=True)
class Batch:
    """Images as integer levels, uint8 [B, H, W, C].

    `target` is what the likelihood scores, `input` what the encoder sees; `label` is int32 [B],
    -1 where there is none.
    """

    target: Array
    input: Array
    label: Array


@struct.dataclass(kw_only=True)
class Aux:
    """What a loss returns besides its value: un-annealed terms, updated statistics, scalars."""

    terms: Terms
    stats: Stats
    scalars: dict[str, Array]


class Prior(Protocol):
    """A distribution over a latent z. `q` is a diagonal `dists.Normal` over z, leading axis B."""

    bound_model: str  # the model `rate` belongs to: "exact", "T=25", "T=inf", "ode"
    weight_model: str  # the model `log_prob_weight` belongs to

    def init(self, rng, z_shape, *, x_shape=None, data=None) -> tuple[Params, Stats]: ...

    def draw(self, rng, num: int, z_shape, *, purpose: Purpose) -> Noise: ...

    def rate(
        self, params, stats, q, rng, *, encode: Callable | None = None, noise=None, train=False
    ) -> tuple[Array, Terms]: ...  # in training mode `rng` is the dropout's

    def log_prob_bound(self, params, stats, z, rng, *, encode: Callable | None = None) -> Terms: ...

    def log_prob_weight(
        self, params, stats, q, rng, *, encode: Callable | None = None, noise=None
    ) -> tuple[Array, Array]: ...

    def sample(self, params, stats, rng, num: int, *, z_shape, encode=None, **kwargs) -> Array: ...


class Likelihood(Protocol):
    """p(x | outputs) for integer levels x; `outputs` is float32 [B, H, W, num_outputs(C)]."""

    discrete: bool  # probabilities (bits/dim are defined) or densities (they are not)

    def init(self) -> Params: ...

    def num_features(self, channels: int) -> int: ...

    def attach(self, params, features) -> Array: ...

    def num_outputs(self, channels: int) -> int: ...

    def log_prob(self, outputs, target) -> Array: ...

    def sample(self, outputs, rng) -> Array: ...

    def mean(self, outputs) -> Array: ...


class PseudoInput(Protocol):
    """A deterministic small code u = f(x), float32 [B, size, size, C], and its way back to x.

    Images come in as floats in [0, 1], [B, H, W, C]; `back` gives them in [-1, 1].
    """

    size: int

    def shape(self, x_shape) -> tuple[int, int, int]: ...  # of one u

    def init(self, rng, x_shape, *, data=None) -> tuple[Params, Stats]: ...

    def apply(self, params, stats, images) -> Array: ...

    def back(self, params, stats, u, x_shape) -> Array: ...

    def clipped(self, params, stats, images) -> Array: ...  # share of u's numbers, [B]


class Model(Protocol):
    """A probabilistic model of images; everything stateless, `params` and `stats` passed in.

    Autoencoders keep it without `log_weight` and `sample`; what their `elbo` is says `score`.
    """

    def init(self, rng, x_shape, *, data=None) -> tuple[Params, Stats]: ...

    def draw(self, rng, batch: Batch, *, purpose: Purpose = "loss") -> Noise: ...

    def loss(
        self, params, stats, batch: Batch, rng, *, step, train: bool, noise=None
    ) -> tuple[Array, Aux]: ...

    def elbo(self, params, stats, batch: Batch, rng, *, noise=None) -> Terms: ...

    def log_weight(self, params, stats, batch: Batch, rng, *, noise=None) -> Array: ...

    def sample(self, params, stats, rng, num: int, *, x_shape, **kwargs) -> Array: ...

    def encode(self, params, stats, images) -> Any: ...

    def reconstruct(self, params, stats, images, rng) -> Array: ...
