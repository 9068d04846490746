"""Hierarchies: a ladder of latents, alone or under a pseudo-input u.

    pop u ~ q(u|x), pop z_L, ..., z_1, each from q(z_l|z_>l, u, x); push x, push z_1, ..., z_L,
    each under p(z_l|z_>l, u); push u under its prior. Without u, p(z_L) may be a prior.

The grid of z_l lies under p(z_l|z_>l, u), which both sides know by then (the dynamic grid of
HiLLoC, Townsend et al. 2020): z = mean_p + std_p k 2^-e. The file stores e
for every latent: with it the narrowest posteriors of the first images have `bins` grid points per
standard deviation. The whole ladder runs once for each latent, so that the cost grows with the
square of their number.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from vdp.codec import pixels, priors
from vdp.codec.bits_back import BitsBack, Coder
from vdp.codec.gaussians import Gaussians, check_finite
from vdp.codec.latents import Latent, wide
from vdp.codec.pixels import Pixels
from vdp.codec.programs import Program
from vdp.codec.stack import Stack
from vdp.levels import to_unit
from vdp.models.hvae import HVAE
from vdp.types import Array, Params, Shape, Stats

LOOKED_AT = 16  # images that the grids are chosen by
SMALLEST = 0.02  # share of posteriors that may be too narrow for `bins`
FINEST = 14  # the largest e


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """z_L, ..., z_1 of a batch, top first.

    Attributes:
      k: whole numbers on the grids, each [B, h, w, c].
      z: what they stand for, of every scale, coarsest first, [B, latents, h, w, c].
    """

    k: list[Int64[np.ndarray, "b h w c"]]
    z: list[Float32[np.ndarray, "b n h w c"]]


class Ladder:
    """Images under a hierarchy; arguments as of `vdp.codec.flat.Flat`."""

    def __init__(
        self, model: HVAE, params: Params, stats: Stats, x_shape: Shape,
        *, lanes: int, bins: float, grid: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        pixels.check(model.likelihood, x_shape[2])
        self.grid, self._bins, self._lanes = grid, bins, lanes
        self.shape = tuple(x_shape)
        self._shapes = model.latent_shapes(x_shape)
        counts = [num for num, *_ in self._shapes]
        self.places = [(scale, i) for scale, num in enumerate(counts) for i in range(num)]

        def descend(params: Params, stats: Stats, features: Any, z: Any, u: Any) -> Any:
            conditions = model.no_conditions
            if model.over_code:
                conditions = model.conditions(params, stats, u, x_shape)

            def given(p: Any, q: Any, value: Array, top: Array) -> tuple[Array, Any]:
                return value, model.step(p, q, value, top)[1]

            return model.descend(params, features, conditions, z, x_shape, given)

        def moments(reports: Any, of: str) -> list[tuple[Array, Array]]:
            lane_first = lambda leaf: jnp.swapaxes(leaf, 0, 1)
            return [(lane_first(r[of].mean), lane_first(r[of].log_var)) for r in reports]

        def prior(params: Params, stats: Stats, z: Any, u: Any) -> Any:
            none = [None] * len(self._shapes)
            return moments(descend(params, stats, none, z, u)[1], "p")

        def posterior(params: Params, stats: Stats, images: Array, z: Any, u: Any) -> Any:
            features = model.features(params, jnp.asarray(to_unit(images, model.input_levels)))
            return moments(descend(params, stats, features, z, u)[1], "q")

        def table(
            params: Params, stats: Stats, channel: Array, images: Array, z: Any, u: Any
        ) -> Array:
            none = [None] * len(self._shapes)
            outputs = descend(params, stats, none, z, u)[0]
            return pixels.masses(model.likelihood, outputs, images.astype(jnp.int32), channel)

        def code(params: Params, stats: Stats, images: Array) -> tuple[Array, Array]:
            q = model.code(params, stats, jnp.asarray(to_unit(images, model.input_levels)))
            return q.mean, q.log_var

        program = lambda function: Program(function, params, stats, lanes)
        self._prior, self._posterior = program(prior), program(posterior)
        self._table, self._code = program(table), program(code)

        def over(finest: float) -> Latent:
            encode = None if model.over_code else model.encode_fn(params)
            return priors.over(
                model.prior, params["prior"], stats["prior"], model.prior_shape(x_shape),
                encode=encode, finest=finest, lanes=lanes, bins=bins,
            )  # fmt: skip

        self._over, self._top = None, None
        if model.over_code:
            narrowest = self._code(np.zeros((1, *x_shape), np.uint8))[1].min()
            self._over = over(float(np.exp(0.5 * narrowest)))
        elif model.prior is not None:
            self._top = functools.cache(lambda exponent: over(bins * 2.0**-exponent))

    @property
    def top(self) -> Latent | None:
        """z_L under a prior over it; None where p(z_L) is the ladder's own."""
        return self._top(self.grid[0]) if self._top else None

    def images(self, count: int) -> Coder:
        """The distribution of as many images, uint8 [count, H, W, C]."""
        if self._over is None:
            return self._given(None, count)
        over = self._over
        return BitsBack(
            prior=over.prior(count),
            likelihood=lambda k: self._given(over.values(k), count),
            posterior=lambda x: over.posterior(*self._code(x)),
        )

    def _given(self, u: Any, count: int) -> BitsBack:
        """p(x|u), bits-back by the latents of the ladder."""
        return BitsBack(
            prior=_Descent(ladder=self, u=u, x=None, count=count),
            likelihood=lambda latents: self._pixels(latents.z, u, count),
            posterior=lambda x: _Descent(ladder=self, u=u, x=x, count=count),
        )

    def _pixels(self, z: Any, u: Any, count: int) -> Pixels:
        table = lambda known, channel: self._table(known, z, u, index=channel)
        return Pixels(table=table, shape=(count, *self.shape))

    def calibrate(self, images: UInt8[np.ndarray, "n h w c"]) -> None:
        """Chooses the grids by the posteriors of the first images."""
        self.grid = (8,) * len(self.places)
        narrow: list[list[np.ndarray]] = [[] for _ in self.places]
        for start in range(0, min(len(images), LOOKED_AT), self._lanes):
            x, stack = images[start : start + self._lanes], Stack()
            u = None
            if self._over is not None:
                u = self._over.values(self._over.posterior(*self._code(x)).pop(stack))
            z = _Descent(ladder=self, u=u, x=x, count=len(x)).pop(stack).z
            p, q = self._prior(z, u), self._posterior(x, z, u)
            for latent, (scale, i) in enumerate(self.places):
                alone = latent == 0 and self._top is not None  # its grid does not lie under p
                log_var = 0.0 if alone else wide(p[scale][1])
                ratio = np.exp(0.5 * (wide(q[scale][1]) - log_var))[:, i]
                narrow[latent].append(ratio.ravel())
        finest = [np.quantile(np.concatenate(each), SMALLEST) for each in narrow]
        check_finite(np.asarray(finest))
        exponents = np.ceil(np.log2(self._bins / np.asarray(finest)))
        self.grid = tuple(int(e) for e in np.clip(exponents, 0, FINEST))

    def zeros(self, count: int) -> list[Float32[np.ndarray, "b n h w c"]]:
        """Zeros for the latents of every scale, in place of those that are not known yet."""
        return [np.zeros((count, *shape), np.float32) for shape in self._shapes]

    def moments(
        self, x: UInt8[np.ndarray, "b h w c"] | None, z: Any, u: Any
    ) -> tuple[list[Any], list[Any]]:
        """(mean, deviation) of p, and of q where there are images, by latent, top first."""
        of_p = self._by_latent(self._prior(z, u))
        return of_p, [] if x is None else self._by_latent(self._posterior(x, z, u))

    def _by_latent(self, scales: Any) -> list[Any]:
        found = []
        for scale, i in self.places:
            mean, log_var = scales[scale]
            found.append((wide(mean[:, i]), np.exp(0.5 * wide(log_var[:, i]))))
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Descent:
    """All latents of the ladder, top first: under p, or where images are given under q.

    Attributes:
      ladder: the model.
      u: of the batch, or None.
      x: images [B, H, W, C], or None.
      count: B.
    """

    ladder: Ladder
    u: Any
    x: UInt8[np.ndarray, "b h w c"] | None
    count: int

    def push(self, stack: Stack, value: Latents) -> None:
        """Pushes the latents, z_1 first."""
        p, q = self.ladder.moments(self.x, value.z, self.u) if self.x is not None else ([], [])
        for latent in reversed(range(len(value.k))):
            self._coder(latent, p, q, value.k[latent].shape).push(stack, value.k[latent])

    def pop(self, stack: Stack) -> Latents:
        """Pops the latents, z_L first: each conditions those below."""
        z, k = self.ladder.zeros(self.count), []
        for latent, (scale, i) in enumerate(self.ladder.places):
            p, q = self.ladder.moments(self.x, z, self.u)
            mean, std = p[latent]
            k.append(self._coder(latent, p, q, mean.shape).pop(stack))
            if latent == 0 and self.ladder.top:
                z[scale][:, i] = self.ladder.top.values(k[-1])
                continue
            step = 2.0 ** -self.ladder.grid[latent]
            z[scale][:, i] = (mean + std * (step * k[-1])).astype(np.float32)
        return Latents(k=k, z=z)

    def _coder(self, latent: int, p: list[Any], q: list[Any], shape: Shape) -> Coder:
        if latent == 0 and (top := self.ladder.top):
            if self.x is None:
                return top.prior(self.count)
            mean, std = q[0]
            return top.posterior(mean, 2 * np.log(std))
        fine = 2.0 ** self.ladder.grid[latent]
        if self.x is None:
            return Gaussians(mean=np.zeros(shape), std=np.full(shape, fine))
        (mean, std), (mean_q, std_q) = p[latent], q[latent]
        return Gaussians(mean=(mean_q - mean) / std * fine, std=std_q / std * fine, borrowed=True)
