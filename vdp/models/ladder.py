"""The ladder itself: what an image becomes on its way up, and what is drawn on the way down."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vdp import draws
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.models.base import WithPrior
from vdp.models.scales import Scales
from vdp.nets import stateful
from vdp.nets.bottleneck import pool
from vdp.nets.ladder import Moments, top_posterior
from vdp.runtime import backend
from vdp.settings.rules import Checked, LogVariance, OneOf, Positive, Size
from vdp.types import AnyArray, Array, Images, Key, Levels, Likelihood, Params, Shape, Stats

Maps = list[Float[Array, "b _ _ _"]]  # of every scale, coarsest first
LatentNoise = list[Float[Array, "b _ _ _ _"]]  # likewise, [B, latents, h, w, channels]
Conditions = list[Float[Array, "b _ _ _"] | None]  # likewise, of the pseudo-input
Reports = list[dict[str, Any]]  # of every scale, coarsest first: {"z", "p", "q"} of its latents


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder(Scales, WithPrior, Checked):
    """Latents z_L..z_1, a likelihood, and what conditions them; the fields of `HVAE`.

    Attributes:
      encoder, decoder: nets of `vdp.nets.ladder`.
      likelihood: of the image.
      scales: (height of the latents' map, number of latents, channels), finest first.
      input_levels: levels of the images the encoder sees.
      pseudoinput: the code u and its way back to an image; None for a plain ladder.
      prior: over u; without pseudo-inputs over z_L, or None (the top block's own Gaussian).
      posterior: "free" (q's moments are the block's) or "precision" (they are multiplied with p:
        Soenderby et al. 2016).
      log_var_p, log_var_q: what the log-variances of p and q are clamped to.
      code_log_var: start of q(u|x)'s log-variance in the separate form.
      log_var_u: the range that it stays in.
      input_mean, input_std: of the encoder's input, for images in [0, 1].
    """

    encoder: nn.Module
    decoder: Any  # a `LadderDecoder`, or one that is called like it
    likelihood: Likelihood
    scales: tuple[tuple[Size, Size, Size], ...]
    input_levels: int
    pseudoinput: Any = None  # a `vdp.types.PseudoInput`
    prior: Any = None  # a `vdp.types.Prior`
    posterior: Annotated[str, OneOf("free", "precision")] = "free"
    log_var_p: tuple[LogVariance, LogVariance] = (-10.0, 1.0)
    log_var_q: tuple[LogVariance, LogVariance] = (-10.0, 1.0)
    code_log_var: LogVariance = -6.0
    log_var_u: tuple[LogVariance, LogVariance] = (-12.0, -5.0)
    input_mean: float = 0.5
    input_std: Positive = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_scales()
        if self.pseudoinput is not None and self.prior is None:
            raise UserError("pseudo-inputs need a prior over them")
        if self.pseudoinput is not None and hasattr(self.prior, "pseudo_inputs"):
            raise UserError("a VampPrior is one over z_L: leave the pseudo-inputs out")
        if self.pseudoinput is None and self.merged:
            raise UserError("the merged form is one of a pseudo-input's prior: form='separate'")
        if any(low >= high for low, high in (self.log_var_p, self.log_var_q, self.log_var_u)):
            raise UserError("log_var_p, log_var_q and log_var_u go from the lowest to the highest")
        from_zero = getattr(self.decoder, "zero", "") == "all"
        ranges = (self.log_var_p, self.log_var_q) if from_zero else ()
        if any(not low <= 0 <= high for low, high in ranges):
            raise UserError("log-variances start at 0: log_var_p and log_var_q have to contain it")
        if not self.log_var_u[0] <= self.code_log_var <= self.log_var_u[1]:
            raise UserError(f"code_log_var={self.code_log_var} outside log_var_u={self.log_var_u}")
        if not self.over_code:
            self.check_floor(self.log_var_q[0])

    @property
    def over_code(self) -> bool:
        """Whether the prior is over u (else over z_L, or there is none)."""
        return self.pseudoinput is not None

    @property
    def shows_prior(self) -> bool:
        """Whether the prior is over something that can be looked at: u; not z_L."""
        return self.over_code

    def ascended(self) -> "Ladder":
        """As of `WithPrior`, with the decoder's blocks as in training: gradients will be taken."""
        model: Any = super().ascended()
        if backend.on_tpu() or getattr(self.decoder, "blocks_by", "") != "auto":
            return model
        return dataclasses.replace(model, decoder=self.decoder.clone(blocks_by="loop"))

    @property
    def parameter_ranges(self) -> dict[str, tuple[float, float]]:
        """What no update of the optimiser may leave: q(u|x)'s log-variances."""
        return {"decoder/noise": self.log_var_u} if self.over_code and not self.merged else {}

    def prior_shape(self, x_shape: Shape) -> tuple[int, ...]:
        """Shape of what the prior is over: u, or z_L."""
        if self.over_code:
            return self.pseudoinput.shape(x_shape)
        return self.latent_shapes(x_shape)[0][1:]

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """Parameters {"encoder", "decoder", "prior", "pseudoinput"} and stats of the last two.

        `data` is what the pseudo-input's constants and a VampPrior's start are taken from.
        "decoder" is {"net", "likelihood"} and, in the separate form,
        "noise": the log-variances of q(u|x).
        """
        self.latent_shapes(x_shape)  # refuses images of another size before a network fails
        encoder_rng, decoder_rng, prior_rng, code_rng = jax.random.split(rng, 4)
        params, stats = {}, {}
        if self.over_code:
            params["pseudoinput"], stats["pseudoinput"] = self.pseudoinput.init(
                code_rng, x_shape, data=data
            )
        x = jnp.zeros((1, *x_shape))
        params["encoder"] = stateful.init_stateless(
            self.encoder, encoder_rng, x, self.scales, role="an encoder of a hierarchy"
        )
        noise = self.latent_noise(decoder_rng, 1, x_shape)
        features = self.features(params, x)
        conditions = self.no_conditions
        if self.over_code:
            u = jnp.zeros((1, *self.prior_shape(x_shape)))
            conditions = self.conditions(params, stats, u, x_shape)
        net = stateful.init_stateless(
            self.decoder, decoder_rng, self.step, features, conditions, self._by_block(noise),
            self.top_down, self._out_shape(x_shape), role="a decoder of a hierarchy",
        )  # fmt: skip
        params["decoder"] = {"net": net, "likelihood": self.likelihood.init()}
        if self.over_code and not self.merged:
            log_var = jnp.full(self.prior_shape(x_shape), self.code_log_var, jnp.float32)
            params["decoder"]["noise"] = log_var
        if self.prior is not None:
            params["prior"], stats["prior"] = self.prior.init(
                prior_rng, self.prior_shape(x_shape), x_shape=x_shape, data=data
            )
        return params, stats

    def _out_shape(self, x_shape: Shape) -> tuple[int, int, int]:
        height, width, channels = x_shape
        return height, width, self.likelihood.num_features(channels)

    def latent_noise(self, rng: Key, num: int, x_shape: Shape) -> LatentNoise:
        """Standard normal [num, latents, h, w, channels] of every scale, coarsest first."""
        shapes = self.latent_shapes(x_shape)
        keys = jax.random.split(rng, len(shapes))
        return [draws.normal(k, (num, *shape)) for k, shape in zip(keys, shapes, strict=True)]

    def tempered(self, noise: LatentNoise, temperature: Sequence[float]) -> LatentNoise:
        """Latent noise times factors on the standard deviations: (), (one,) or one per latent."""
        factors = tuple(temperature) or (1.0,)
        factors = factors * self.num_latents if len(factors) == 1 else factors
        if len(factors) != self.num_latents or min(factors) < 0:
            raise UserError(
                f"z_temperature needs one value or {self.num_latents}, none negative, not {factors}"
            )
        ends = np.cumsum([0, *(num for _, num, _ in self.top_down)])
        parts = [jnp.array(factors[a:b]) for a, b in itertools.pairwise(ends)]
        return [n * f[None, :, None, None, None] for n, f in zip(noise, parts, strict=False)]

    @staticmethod
    def _by_block(noise: LatentNoise) -> list[Float[Array, "_ b _ _ _"]]:
        return [jnp.swapaxes(each, 0, 1) for each in noise]

    def code(self, params: Params, stats: Stats, images: Images) -> Normal:
        """The posterior q(u|x) for images in [0, 1], float [B, H, W, C]."""
        mean = self.pseudoinput.apply(params["pseudoinput"], stats["pseudoinput"], images)
        if self.merged:
            log_var = self.prior.posterior_log_var(params["prior"])
        else:
            log_var = params["decoder"]["noise"]  # in its range at every update: straight through
            log_var += jax.lax.stop_gradient(jnp.clip(log_var, *self.log_var_u) - log_var)
        return Normal(mean, jnp.broadcast_to(log_var, mean.shape))

    def prior_images(
        self, params: Params, stats: Stats, u: Float[AnyArray, "b *u"], x_shape: Shape
    ) -> Float[Array, "b h w c"]:
        """What u looks like: images in [0, 1], [B, H, W, C]."""
        back = self.pseudoinput.back(
            params["pseudoinput"], stats["pseudoinput"], u, x_shape=x_shape
        )
        return jnp.clip((back + 1) / 2, 0, 1)

    @property
    def no_conditions(self) -> Conditions:
        """For a ladder without pseudo-inputs."""
        return [None] * len(self.scales)

    def conditions(
        self, params: Params, stats: Stats, u: Float[AnyArray, "b *u"], x_shape: Shape
    ) -> Conditions:
        """The image of u in [-1, 1], averaged to the size of every scale; once per scale."""
        image = self.pseudoinput.back(
            params["pseudoinput"], stats["pseudoinput"], u, x_shape=x_shape
        )
        return [pool(image, height) for height, _, _ in self.top_down]

    def features(
        self, params: Params, images: Float[Array, "b h w c"], *, train: bool = False
    ) -> Maps:
        """The encoder's maps, coarsest first."""
        x = (images - self.input_mean) / self.input_std
        maps: Any = self.encoder.apply({"params": params["encoder"]}, x, self.scales, train=train)
        return maps[::-1]

    def top_posterior(self, params: Params, images: Float[Array, "b h w c"]) -> Normal:
        """The top block's own q(z_L|x), from its features and s = 1; images in [0, 1]."""
        scale, features = self.top_down[0], self.features(params, images)[0]
        mean, log_var = top_posterior(self.decoder, params["decoder"]["net"], features, scale)
        return Normal(mean, jnp.clip(log_var, *self.log_var_q))

    def _p(self, moments: Moments) -> Normal:
        return Normal(moments[0], jnp.clip(moments[1], *self.log_var_p))

    def _q(self, p: Normal, moments: Moments, top: Float[Array, ""]) -> Normal:
        q = Normal(moments[0], jnp.clip(moments[1], *self.log_var_q))
        if self.posterior == "free":
            return q
        log_var = -jnp.logaddexp(-q.log_var, -p.log_var)
        mean = jnp.exp(log_var) * (q.mean * jnp.exp(-q.log_var) + p.mean * jnp.exp(-p.log_var))
        if self.prior is None or self.over_code:
            return Normal(mean, log_var)
        keep = lambda alone, product: jnp.where(top > 0, alone, product)  # q(z_L) is no product
        return Normal(keep(q.mean, mean), keep(q.log_var, log_var))

    def step(
        self,
        p: Moments,
        q: Moments | None,
        noise: Float[Array, "b h w c"],
        top: Float[Array, ""],
    ) -> tuple[Float[Array, "b h w c"], dict[str, Any]]:
        """z ~ q, or z ~ p where there is no q, and the decoder's report of it, {"z", "p", "q"}.

        Args:
          p: mean and raw log-variance of the prior's block.
          q: those of the posterior's block; None where z is drawn from p.
          noise: standard normal, [B, h, w, channels].
          top: 1 for z_L, else 0.
        """
        prior = self._p(p)
        posterior = prior if q is None else self._q(prior, q, top)
        z = posterior.sample(noise)
        return z, {"z": z, "p": prior, "q": posterior}

    def descend(
        self,
        params: Params,
        features: Sequence[Float[Array, "b _ _ _"] | None],
        conditions: Conditions,
        noise: LatentNoise,
        x_shape: Shape,
        latent: Callable[..., tuple[Array, Any]] | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b h w k"], Reports]:
        """Runs down the ladder: (likelihood outputs [B, H, W, k], the reports of every scale).

        Args:
          params: of `init`.
          features: of the encoder, coarsest first; None draws a scale from p.
          conditions: of `conditions`, or `no_conditions`.
          noise: of `latent_noise`.
          x_shape: (H, W, C).
          latent: in place of `step`.
          train: whether gradients will be taken.
        """
        out, reports = self.decoder.apply(
            {"params": params["decoder"]["net"]},
            latent or self.step,
            features, conditions, self._by_block(noise), self.top_down, self._out_shape(x_shape),
            train=train,
        )  # fmt: skip
        return self.likelihood.attach(params["decoder"]["likelihood"], out), reports

    def per_latent(
        self, reports: Reports, score: Callable[[Normal, Normal, Array], Array]
    ) -> dict[str, Float[Array, "b"]]:
        """Values score(q, p, z), [B], by latent; z_L is left to its prior where it has one."""
        scores = [jax.vmap(score)(r["q"], r["p"], r["z"]) for r in reports]
        named = dict(zip(self.latent_names, jnp.concatenate(scores), strict=True))
        if self.prior is not None and not self.over_code:
            del named[self.latent_names[0]]
        return named
