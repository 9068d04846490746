"""The data that flows between the rooms, and the protocols the components keep.

A model says what it can do by the protocols it keeps; what surrounds it goes over these, and never
asks for a method by its name. Whoever adds a model adds no line anywhere else.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from flax import struct
from jaxtyping import Float, Int32, UInt8

Array = jax.Array
AnyArray = jax.Array | np.ndarray
SameArray = TypeVar("SameArray", jax.Array, np.ndarray)  # numpy for numpy, jax for jax
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # of N images: target, input, labels
Params = Any  # nested dicts of arrays, keyed by role: encoder, decoder, prior
Stats = Any  # constants taken from data and running statistics: never trained, never counted
Noise = Any  # a pytree of arrays with leading axis B: everything random of one evaluation
Purpose = Literal["loss", "elbo", "weight"]
# loss: one diffusion time per example, a low-discrepancy grid over the global batch; elbo: many, so
# that the standard error over examples is right; weight: a whole noise path, for importance weights


@struct.dataclass(kw_only=True)
class Terms:
    """Log-probabilities in nats, higher is better: `value` [B] is the sum of `parts` [B]."""

    value: Float[Array, "b"]
    parts: dict[str, Float[Array, "b"]]

    @classmethod
    def of(cls, **parts: Float[Array, "b"]) -> "Terms":
        """The terms whose value is the sum of the named parts."""
        first, *others = parts.values()
        return cls(value=sum(others, first), parts=parts)

    def __add__(self, other: "Terms") -> "Terms":
        return Terms.of(**self.parts, **other.parts)


@struct.dataclass(kw_only=True)
class Batch:
    """Images as integer levels, uint8 [B, H, W, C].

    `target` is what the likelihood scores, `input` what the encoder sees; `label` is int32 [B],
    -1 where there is none.
    """

    target: UInt8[Array, "b h w c"]
    input: UInt8[Array, "b h w c"]
    label: Int32[Array, "b"]


@struct.dataclass(kw_only=True)
class Aux:
    """What a loss returns besides its value: un-annealed terms, updated statistics, scalars."""

    terms: Terms
    stats: Stats
    scalars: dict[str, Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The name and unit of what validations compare checkpoints by, where people read it."""

    name: str  # in metrics.jsonl after "train/" and "eval/", in checkpoints and in eval.json
    label: str  # on the loss curve
    unit: str  # of one number
    sign: float = 1.0  # factor of what is shown; in `Terms` higher is better always


ELBO = Score(name="elbo", label="negative bound", unit="nats")


@runtime_checkable
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


@runtime_checkable
class DiffusionLike(Prior, Protocol):
    """A prior whose parameters stand for several models, and which is sampled step by step."""

    merged: bool  # whether q is a code, and the posterior's noise the diffusion's own
    note: str | None  # what has to stand beside a number of this model

    def posterior_log_var(self, params) -> Array: ...  # of z given its code, merged
    def discretized(self, num_steps: int | None = None) -> "DiffusionLike": ...
    def as_ode(self, *, coarser: int = 1) -> "DiffusionLike": ...
    def check_sampler(self, **options) -> None: ...
    def denoising(self, params, rng, num: int, *, z_shape, **options) -> tuple[Array, Array]: ...


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
    """A small code u = f(x), [B, size, size, C], of images in [0, 1]; `back` is to [-1, 1]."""

    size: int

    def shape(self, x_shape) -> tuple[int, int, int]: ...  # of one u
    def init(self, rng, x_shape, *, data=None) -> tuple[Params, Stats]: ...
    def apply(self, params, stats, images) -> Array: ...
    def back(self, params, stats, u, x_shape) -> Array: ...
    def clipped(self, params, stats, images) -> Array: ...  # share of u's numbers, [B]


@runtime_checkable
class Model(Protocol):
    """What is trained; everything stateless, `params` and `stats` passed in.

    Every model is also `Probabilistic` or `Scored`: one of the two says what validations compare.
    """

    def init(self, rng, x_shape, *, data=None) -> tuple[Params, Stats]: ...
    def draw(self, rng, batch: Batch, *, purpose: Purpose = "loss") -> Noise: ...
    def loss(
        self, params, stats, batch: Batch, rng, *, step, train: bool, noise=None
    ) -> tuple[Array, Aux]: ...


@runtime_checkable
class Scored(Model, Protocol):
    """A model without a probability of images; `evaluate` is minus its error, or the like, [B]."""

    score: Score

    def evaluate(self, params, stats, batch: Batch, rng, *, noise=None) -> Terms: ...


@runtime_checkable
class Probabilistic(Model, Protocol):
    """A model with a lower bound on log p(x)."""

    discrete: bool  # probabilities (bits/dim are defined) or densities (they are not)
    bound_model: str  # the model `elbo` bounds: "exact", "T=25", "T=inf", "ode"

    def elbo(self, params, stats, batch: Batch, rng, *, noise=None) -> Terms: ...


@runtime_checkable
class Weights(Protocol):
    """Importance weights: log p(x, z)/q(z|x) at one draw, [B], unbiased in exp."""

    weight_model: str  # the model they are of

    def log_weight(self, params, stats, batch: Batch, rng, *, noise=None) -> Array: ...


@runtime_checkable
class Weighted(Probabilistic, Weights, Protocol):
    """A model with importance weights."""


@runtime_checkable
class Reinterpretable(Weighted, Protocol):
    """One whose parameters stand for other models too; itself where there is no other.

    Of a diffusion prior these are the T-step chain that is sampled, and the probability flow.
    """

    def discretized(self) -> "Reinterpretable": ...
    def as_ode(self, *, coarser: int = 1) -> "Reinterpretable": ...


@runtime_checkable
class Generative(Model, Protocol):
    """One that draws images in [0, 1], [num, H, W, C]; kwargs are its sampler's."""

    def sample(self, params, stats, rng, num: int, *, x_shape, **kwargs) -> Array: ...


@runtime_checkable
class Adjustable(Generative, Protocol):
    """One whose sampler has options, such as `temperature` or a number of steps."""

    def check_sampler(self, **options) -> None: ...  # UserError for what `sample` does not take


@runtime_checkable
class Encoding(Model, Protocol):
    """One with q(z|x) of images as the encoder sees them: a `dists.Normal`, or several by name."""

    def encode(self, params, stats, images) -> Any: ...


@runtime_checkable
class Reconstructing(Model, Protocol):
    """One that brings images back: means in [0, 1] of one draw of the code."""

    def reconstruct(self, params, stats, images, rng) -> Array: ...


@runtime_checkable
class Latent(Encoding, Reconstructing, Protocol):
    """One with a single latent per image, which is decoded by itself."""

    latent_shape: tuple[int, ...]

    def decode_mean(self, params, stats, z, x_shape) -> Array: ...


@runtime_checkable
class LatentGenerative(Latent, Generative, Protocol):
    """One whose prior over that latent is drawn from by itself."""

    def sample_latents(self, params, stats, rng, num: int, **kwargs) -> Array: ...


@runtime_checkable
class Stochastic(Encoding, Probabilistic, Protocol):
    """One whose latents have names, units and posterior means: what is active, and what it costs.

    A part of the bound belongs to the latent whose name it begins with, or to the only one.
    """

    def latent_table(self, x_shape) -> list[dict[str, Any]]: ...  # name, height, units; top first
    def latent_means(self, params, stats, batch: Batch, rng) -> Array: ...  # [B, draws, units]


@runtime_checkable
class OverPrior(Generative, Protocol):
    """One with a prior over something that can be looked at: its latent, its code, the image."""

    prior: Prior | None
    shows_prior: bool  # whether `prior_images` works: not of the top latent of a ladder

    def prior_shape(self, x_shape) -> tuple[int, ...]: ...
    def prior_images(self, params, stats, z, x_shape) -> Array: ...


@runtime_checkable
class Hierarchical(OverPrior, Reconstructing, Stochastic, Protocol):
    """A ladder of latents, with a pseudo-input u on top of it or without (None)."""

    scales: tuple[tuple[int, int, int], ...]
    input_levels: int  # of the images that the encoder sees
    pseudoinput: PseudoInput | None

    def reconstruct(
        self, params, stats, images, rng, *, num_scales: int | None = None
    ) -> Array: ...  # of the coarsest `num_scales` from q, the others from p; None: all from q
    def code(self, params, stats, images) -> Any: ...  # q(u|x)
    def sample_prior(self, params, stats, rng, num: int, *, x_shape, **options) -> Array: ...


@runtime_checkable
class Classifying(Scored, Protocol):
    """One that names the class of an image, by features before its last layer."""

    def correct(self, params, stats, batch: Batch) -> Array: ...  # bool [B]
    def features(self, params, stats, images, **kwargs) -> tuple[Array, Stats]: ...


@runtime_checkable
class Ranged(Model, Protocol):
    """One with parameters that no update may lead out of a range: {path: (low, high)}."""

    parameter_ranges: Mapping[str, tuple[float, float]]
