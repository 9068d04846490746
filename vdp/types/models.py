"""The protocols that models keep.

A model says what it can do by the protocols it keeps; what surrounds it goes over these, and never
asks for a method by its name. Whoever adds a model adds no line anywhere else.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float

from vdp.types.arrays import (
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
    Shape,
    Stats,
    Terms,
)
from vdp.types.components import Prior, PseudoInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The name and unit of what validations compare checkpoints by, where people read it."""

    name: str  # in metrics.jsonl after "train/" and "eval/", in checkpoints and in eval.json
    label: str  # on the loss curve
    unit: str  # of one number
    sign: float = 1.0  # factor of what is shown; in `Terms` higher is better always
    chooses: bool = True  # else the newest checkpoint is the one that counts


ELBO = Score(name="elbo", label="negative bound", unit="nats")


@runtime_checkable
class Model(Protocol):
    """What is trained; everything stateless, `params` and `stats` passed in.

    Every model is also `Probabilistic` or `Scored`: one of the two says what validations compare.
    """

    def init(
        self, rng: Key, x_shape: Shape, *, data: Levels | None = None
    ) -> tuple[Params, Stats]: ...
    def draw(self, rng: Key, batch: Batch, *, purpose: Purpose = "loss") -> Noise: ...
    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]: ...  # fmt: skip


@runtime_checkable
class Scored(Model, Protocol):
    """A model without a probability of images; `evaluate` is minus its error, or the like, [B]."""

    score: Score

    def evaluate(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Terms: ...


@runtime_checkable
class Probabilistic(Model, Protocol):
    """A model with a lower bound on log p(x)."""

    discrete: bool  # probabilities (bits/dim are defined) or densities (they are not)
    bound_model: str  # the model `elbo` bounds: "exact", "T=25", "T=inf", "ode"

    def elbo(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Terms: ...


@runtime_checkable
class Weights(Protocol):
    """Importance weights: log p(x, z)/q(z|x) at one draw, [B], unbiased in exp."""

    weight_model: str  # the model they are of

    def log_weight(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Float[Array, "b"]: ...


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
class Refinable(Weighted, Protocol):
    """One whose posterior is a function of an encoder's outputs, which others can stand for.

    With `batch.encoded` its bound and its weights are of the posterior that this describes.
    `ascended` is the model for gradients of that bound by what stands for the outputs.
    """

    def encoded(self, params: Params, stats: Stats, batch: Batch) -> Any: ...  # leaves [B, ...]
    def ascended(self) -> "Refinable": ...


@runtime_checkable
class Generative(Model, Protocol):
    """One that draws images in [0, 1], [num, H, W, C]; kwargs are its sampler's."""

    def sample(
        self, params: Params, stats: Stats, rng: Key, num: int, *, x_shape: Shape, **kwargs: Any
    ) -> Float[Array, "{num} h w c"]: ...


@runtime_checkable
class Adjustable(Generative, Protocol):
    """One whose sampler has options, such as `temperature` or a number of steps."""

    def check_sampler(self, **options: Any) -> None: ...  # UserError: not taken by `sample`


@runtime_checkable
class Encoding(Model, Protocol):
    """One with q(z|x) of images as the encoder sees them: a `dists.Normal`, or several by name."""

    def encode(self, params: Params, stats: Stats, images: Levels) -> Any: ...


@runtime_checkable
class Reconstructing(Model, Protocol):
    """One that brings images back: means in [0, 1] of one draw of the code."""

    def reconstruct(
        self, params: Params, stats: Stats, images: Levels, rng: Key
    ) -> Float[Array, "b h w c"]: ...


@runtime_checkable
class Latent(Encoding, Reconstructing, Protocol):
    """One with a single latent per image, which is decoded by itself."""

    latent_shape: tuple[int, ...]

    def decode_mean(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape
    ) -> Float[Array, "b h w c"]: ...


@runtime_checkable
class LatentGenerative(Latent, Generative, Protocol):
    """One whose prior over that latent is drawn from by itself."""

    def sample_latents(
        self, params: Params, stats: Stats, rng: Key, num: int, **kwargs: Any
    ) -> Float[Array, "{num} *z"]: ...


@runtime_checkable
class Stochastic(Encoding, Probabilistic, Protocol):
    """One whose latents have names, units and posterior means: what is active, and what it costs.

    A part of the bound belongs to the latent whose name it begins with, or to the only one.
    """

    def latent_table(self, x_shape: Shape) -> list[dict[str, Any]]: ...  # of each, top first
    def latent_means(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b draws units"]: ...


@runtime_checkable
class OverPrior(Generative, Protocol):
    """One with a prior over something that can be looked at: its latent, its code, the image."""

    prior: Prior | None
    shows_prior: bool  # whether `prior_images` works: not of the top latent of a ladder

    def prior_shape(self, x_shape: Shape) -> tuple[int, ...]: ...
    def prior_images(
        self, params: Params, stats: Stats, z: Float[AnyArray, "b *z"], x_shape: Shape
    ) -> Float[Array, "b h w c"]: ...


@runtime_checkable
class Hierarchical(OverPrior, Reconstructing, Stochastic, Protocol):
    """A ladder of latents, with a pseudo-input u on top of it or without (None)."""

    scales: tuple[tuple[int, int, int], ...]
    input_levels: int  # of the images that the encoder sees
    pseudoinput: PseudoInput | None

    def reconstruct(
        self, params: Params, stats: Stats, images: Levels, rng: Key,
        *, num_scales: int | None = None,  # coarsest ones from q, the others from p; None: all
    ) -> Float[Array, "b h w c"]: ...  # fmt: skip
    def code(self, params: Params, stats: Stats, images: Images) -> Any: ...  # q(u|x)
    def sample_prior(
        self, params: Params, stats: Stats, rng: Key, num: int, *, x_shape: Shape, **options: Any
    ) -> Float[Array, "{num} *u"]: ...


@runtime_checkable
class ByUnit(Hierarchical, Protocol):
    """A ladder that says what each of its units costs: KL(q || p), NaN where that has no parts."""

    def unit_rates(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b units"]: ...


@runtime_checkable
class Coded(OverPrior, Probabilistic, Protocol):
    """A model that says log p of its code, up to a constant that all images share.

    The code is what its prior is over; `code_log_prob` is the log density, or a bound on it, [B]
    nats. There may be no prior.
    """

    def code_log_prob(
        self, params: Params, stats: Stats, batch: Batch, rng: Key
    ) -> Float[Array, "b"]: ...


@runtime_checkable
class Fittable(OverPrior, Protocol):
    """A model whose diffusion prior's chain can be fitted to errors measured after training.

    With another prior `fitted` returns the model itself.
    """

    def fitted(self, reverse: str, num_steps: int = 0) -> "Fittable": ...
    def prior_posterior(self, params: Params, stats: Stats, batch: Batch) -> Any: ...


@runtime_checkable
class Partial(Hierarchical, Protocol):
    """A ladder whose bound can be had with q for the coarsest scales, and p for the finer ones."""

    def partial_elbo(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, num_scales: int, noise: Noise = None,
    ) -> Terms: ...  # fmt: skip


@runtime_checkable
class Classifying(Scored, Protocol):
    """One that names the class of an image, by features before its last layer."""

    def correct(self, params: Params, stats: Stats, batch: Batch) -> Bool[Array, "b"]: ...
    def features(
        self, params: Params, stats: Stats, images: Images, **kwargs: Any
    ) -> tuple[Float[Array, "b d"], Stats]: ...


@runtime_checkable
class Ranged(Model, Protocol):
    """One with parameters that no update may lead out of a range: {path: (low, high)}."""

    parameter_ranges: Mapping[str, tuple[float, float]]


@runtime_checkable
class Learning(Model, Protocol):
    """One that says how it is trained: whether as a student, to do what its teacher does.

    What the optimiser adds to the gradient moves no parameter below `held_parameters`, and L2 none
    below `unshrunk_parameters`.
    """

    is_student: bool
    held_parameters: Sequence[str]
    unshrunk_parameters: Sequence[str]
