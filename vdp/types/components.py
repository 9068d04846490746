"""The protocols that the components of a model keep: priors, likelihoods, pseudo-inputs."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Float32, UInt8

from vdp.types.arrays import (
    AnyArray,
    Array,
    Encode,
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


@runtime_checkable
class Prior(Protocol):
    """A distribution over a latent z; `vdp.priors` says what the arguments are.

    `q` is a diagonal `dists.Normal` over z, leading axis B. What `draw` returns, and `noise` may
    be, is a structure of vdp/priors/noise.py, which holds one of vdp/diffusion/noise.py.
    """

    bound_model: str  # the model `rate` belongs to: "exact", "T=25", "T=inf", "ode"
    weight_model: str  # the model `log_prob_weight` belongs to

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]: ...
    def draw(self, rng: Key, num: int, z_shape: Shape, *, purpose: Purpose) -> Noise: ...
    def rate(
        self,
        params: Params,
        stats: Stats,
        q: Any,
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
        train: bool = False,
    ) -> tuple[Float[Array, "b *z"], Terms]: ...
    def log_prob_bound(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *z"],
        rng: Key | None,
        *,
        encode: Encode | None = None,
    ) -> Terms: ...
    def log_prob_weight(
        self,
        params: Params,
        stats: Stats,
        q: Any,
        rng: Key | None,
        *,
        encode: Encode | None = None,
        noise: Noise = None,
    ) -> tuple[Float[Array, "b *z"], Float32[Array, "b"]]: ...
    def sample(
        self,
        params: Params,
        stats: Stats,
        rng: Key,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        **kwargs: Any,  # `temperature`, `noise`, ...: one that knows no `noise` is drawn by keys
    ) -> Float[Array, "{num} *z"]: ...


@runtime_checkable
class DiffusionLike(Prior, Protocol):
    """A prior whose parameters stand for several models, and which is sampled step by step."""

    merged: bool  # whether q is a code, and the posterior's noise the diffusion's own
    note: str | None  # what has to stand beside a number of this model

    def posterior_log_var(self, params: Params) -> Float[Array, ""]: ...  # z given its code, merged
    def discretized(self, num_steps: int | None = None) -> "DiffusionLike": ...
    def as_ode(self, *, coarser: int = 1) -> "DiffusionLike": ...
    def check_sampler(self, **options: Any) -> None: ...
    def denoising(
        self, params: Params, stats: Stats, rng: Key, num: int, *, z_shape: Shape, **options: Any
    ) -> tuple[Float[Array, "{num} *z"], Float[Array, "t {num} *z"]]: ...


@runtime_checkable
class Placed(Prior, Protocol):
    """A prior whose parameters of these names are points, or moments around them: no weights."""

    points: Sequence[str]


@runtime_checkable
class Chained(Prior, Protocol):
    """A prior of T steps that says which of its chains there are: `fitted` is asked for one."""

    def fitted(self, reverse: str, num_steps: int = 0) -> "Chained": ...


@runtime_checkable
class Likelihood(Protocol):
    """p(x | outputs) for integer levels x [B, H, W, C]; `vdp.likelihoods` says what is what."""

    discrete: bool  # probabilities (bits/dim are defined) or densities (they are not)

    def init(self) -> Params: ...
    def num_features(self, channels: int) -> int: ...
    def attach(
        self, params: Params, features: Float[Array, "b h w f"]
    ) -> Float[Array, "b h w k"]: ...
    def num_outputs(self, channels: int) -> int: ...
    def log_prob(self, outputs: Float[Array, "b h w k"], target: Levels) -> Float32[Array, "b"]: ...
    def sample(self, outputs: Float[Array, "b h w k"], rng: Key) -> UInt8[Array, "b h w c"]: ...
    def mean(self, outputs: Float[Array, "b h w k"]) -> Float[Array, "b h w c"]: ...


@runtime_checkable
class PseudoInput(Protocol):
    """A small code u = f(x), [B, size, size, C], of images in [0, 1]; `back` is to [-1, 1]."""

    size: int

    def shape(self, x_shape: Shape) -> tuple[int, int, int]: ...  # of one u
    def init(
        self, rng: Key, x_shape: Shape, *, data: Levels | None = None
    ) -> tuple[Params, Stats]: ...
    def apply(self, params: Params, stats: Stats, images: Images) -> Float[Array, "b s s c"]: ...
    def back(
        self, params: Params, stats: Stats, u: Float[AnyArray, "b s s c"], x_shape: Shape
    ) -> Float[Array, "b h w c"]: ...
    def clipped(
        self, params: Params, stats: Stats, images: Images
    ) -> Float32[Array, "b"]: ...  # share of u's numbers
