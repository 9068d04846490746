"""What can be asked of an opened run: scores, codes, reconstructions and samples."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jaxtyping import Float, Int32, UInt8
from ml_collections import config_dict

from vdp import build
from vdp.data import datasets, identity
from vdp.errors import UserError, choose_from
from vdp.metrics import likelihood, per_batch, score
from vdp.metrics.batched import Batched, Kept
from vdp.runtime import interruption
from vdp.settings import SPLITS, Settings
from vdp.settings.parse import to_config
from vdp.types import (
    AnyArray,
    Arrays,
    DiffusionLike,
    Encoding,
    Generative,
    Key,
    Latent,
    LatentGenerative,
    Model,
    OverPrior,
    Params,
    Reconstructing,
    Stats,
    Terms,
    Weighted,
)

M = TypeVar("M", bound=Model, covariant=True)
Images = Float[np.ndarray, "n h w c"]  # in [0, 1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Generic[M]):
    """A model with the EMA parameters of one checkpoint. Images are uint8 levels [N, H, W, C].

    Where the data is binarised, images are 0/1: `vdp.data.datasets.binarize` makes them so.
    `Run[Latent]` is a run whose model has that capability of `vdp.types`.

    Attributes:
      settings: what is asked for now; `trained` are those of the training.
      model: pure functions of `params` and `stats`.
      params: averaged parameters.
      stats: averaged running statistics, and constants of the data.
      step: of the checkpoint.
      facts: of the data.
      batched: maps functions over arrays, on all devices.
      trained: the settings the run was trained with.
      hashes: of the images it was trained with, by split; empty where they are not known.
    """

    settings: Settings = dataclasses.field(repr=False)
    model: M
    params: Params = dataclasses.field(repr=False)
    stats: Stats = dataclasses.field(repr=False)
    step: int
    facts: datasets.Facts
    batched: Batched = dataclasses.field(repr=False)
    trained: Settings = dataclasses.field(repr=False)
    hashes: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def config(self) -> config_dict.ConfigDict:
        """The settings as a ConfigDict."""
        return to_config(self.settings)

    def arrays(
        self, x: AnyArray
    ) -> tuple[UInt8[np.ndarray, "n h w c"], UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]:
        """(target, input, labels) of images as the encoder sees them, uint8 [N, H, W, C].

        Raises:
          UserError: another shape, type or more levels than the model's images have.
        """
        x = np.asarray(x)
        x = x[..., None] if x.ndim == 3 and self.facts.shape[-1] == 1 else x
        if x.dtype != np.uint8 or x.shape[1:] != self.facts.shape or len(x) == 0:
            raise UserError(
                f"images must be uint8 [N, {', '.join(map(str, self.facts.shape))}], not "
                f"{x.dtype} {list(x.shape)}"
            )
        if x.max() >= self.facts.input_levels:
            hint = " (vdp.data.datasets.binarize)" if self.facts.input_levels == 2 else ""
            raise UserError(
                f"this model's images have levels 0..{self.facts.input_levels - 1}{hint}"
            )
        target = x
        if self.facts.levels != self.facts.input_levels:  # the encoder sees grey, the target is 0/1
            seed = self.settings.data.binarization_seed
            target = datasets.binarize(x, self.facts.input_levels, seed)
        return target, x, np.full(len(x), -1, np.int32)

    def _able(self, capability: type, what: str) -> Any:
        """The model, which has to have a capability of `vdp.types`."""
        if not isinstance(self.model, capability):
            raise UserError(f"model {self.settings.model['name']} has no {what}")
        return self.model

    def map(
        self,
        function: Callable,
        arrays: Arrays,
        *,
        progress: Callable[[int], None] = lambda done: None,
        kept: Kept | None = None,
        model: Any = None,
        **options: Any,
    ) -> Any:
        """Maps function(model, params, stats, batch, rng, **options) over images, in batches.

        Args:
          function: compiled once for itself, the model and its options.
          arrays: (target, input, labels).
          progress: told how many examples are done.
          kept: results to go on from.
          model: in place of the run's own, with the same parameters.
          options: static.

        Returns:
          What the function returns, [N, ...], as numpy.
        """
        args = (model or self.model, self.params, self.stats, arrays)
        return self.batched.map(function, *args, progress=progress, kept=kept, **options)

    def each(self, function: Callable, arrays: Arrays, **options: Any) -> Iterator[Any]:
        """The same batch by batch, for results too large to keep."""
        args = (self.model, self.params, self.stats, arrays)
        return self.batched.each(function, *args, **options)

    def elbo(self, x: AnyArray) -> Terms:
        """The bound in nats with its parts, each [N]; of other models, minus what they report."""
        parts = self.map(score.flat_terms, self.arrays(x))
        return Terms(value=parts.pop("value"), parts=parts)

    def iwae(self, x: AnyArray, *, num_samples: int | None = None) -> Float[np.ndarray, "n"]:
        """The IWAE bound in nats, [N]; `num_samples` defaults to eval.iwae_samples."""
        self._able(Weighted, "log_weight")
        chosen = self.settings.eval
        num_samples = num_samples or chosen.iwae_samples
        chunk, arrays = min(chosen.iwae_chunk, num_samples), self.arrays(x)
        terms = self.map(likelihood.iwae_terms, arrays, num_samples=num_samples, chunk=chunk)
        return terms["value"]

    def encode(self, x: AnyArray) -> Any:
        """q(z|x): a `dists.Normal` over [N, *latent_shape]; of a hierarchy, one by latent."""
        self._able(Encoding, "encode")
        return self.map(per_batch.encode, self.arrays(x))

    def reconstruct(self, x: AnyArray) -> Images:
        """Mean images in [0, 1] of one posterior draw each, [N, H, W, C]."""
        self._able(Reconstructing, "reconstruct")
        return self.map(per_batch.reconstruct, self.arrays(x))

    def sample(
        self, num: int, *, seed: int | Key = 0, mean: bool = True, **options: Any
    ) -> Float[np.ndarray, "{num} h w c"]:
        """[num, H, W, C] images in [0, 1].

        Args:
          num: how many.
          seed: of the draw, or a key.
          mean: the likelihood's mean; False draws pixels.
          options: of the prior's sampler: `sampler`, `sampler_steps`, `eta` for diffusion priors.
        """
        model = self._able(Generative, "sample")
        build.check_sampler(model, options)
        if mean and isinstance(model, LatentGenerative):
            return self.decode(self.sample_latents(num, seed=seed, **options))
        if not mean:  # which a model that draws no pixels need not know
            options["mean"] = False
        return self._draw(per_batch.sample, num, seed, x_shape=self.facts.shape, **options)

    def sample_latents(
        self, num: int, *, seed: int | Key = 0, **options: Any
    ) -> Float[np.ndarray, "{num} *z"]:
        """[num, *latent_shape] draws of the prior; options as of `sample`."""
        build.check_sampler(self._able(LatentGenerative, "sample_latents"), options)
        return self._draw(per_batch.sample_latents, num, seed, **options)

    def denoising(
        self, num: int, *, seed: int | Key = 0, **options: Any
    ) -> Float[np.ndarray, "{num} t *z"]:
        """The diffusion prior's z_hat at every step of its sampler: [num, T, *prior_shape]."""
        model = self._able(OverPrior, "prior")
        if not isinstance(model.prior, DiffusionLike):
            raise UserError(f"model {self.settings.model['name']} has no diffusion prior")
        build.check_sampler(model, options)
        return self._draw(per_batch.denoising, num, seed, x_shape=self.facts.shape, **options)

    def _draw(self, function: Callable, num: int, seed: int | Key, **options: Any) -> np.ndarray:
        """`num` results of function(model, params, stats, rng, size), in batches of one size."""
        size = self.batched.batch_size
        options |= dict(function=function, size=size)
        program = self.batched.compiled(per_batch.drawing, self.model, **options)
        if isinstance(seed, int) and not 0 <= seed < 2**32:
            raise UserError(f"a seed lies in 0..{2**32 - 1}; {seed} would give another's draws")
        key = jax.random.key(seed) if isinstance(seed, int) else seed
        keys = jax.random.split(key, -(-num // size))
        drawn = []
        for key in keys:
            drawn.append(np.asarray(program(self.params, self.stats, {}, key)))
            interruption.check()
        return np.concatenate(drawn)[:num]

    def decode(self, z: AnyArray) -> Images:
        """Mean images in [0, 1] of latents [N, *latent_shape]: [N, H, W, C]."""
        self._able(Latent, "decode_mean")
        return self._images_of(per_batch.decode, z)

    def show(self, z: AnyArray) -> Images:
        """What the prior's latents [N, *prior_shape] look like: [N, H, W, C] in [0, 1]."""
        self._able(OverPrior, "prior_images")
        return self._images_of(per_batch.show, z)

    def _images_of(self, function: Callable, latents: AnyArray) -> Images:
        size = self.batched.batch_size
        program = self.batched.compiled(function, self.model, x_shape=self.facts.shape)
        z, images, key = np.asarray(latents, np.float32), [], jax.random.key(0)
        for start in range(0, len(z), size):
            part = z[start : start + size]
            padded = np.resize(part, (size, *z.shape[1:]))
            images.append(np.asarray(program(self.params, self.stats, padded, key))[: len(part)])
            interruption.check()
        return np.concatenate(images)

    def images(self, split: str = "test") -> UInt8[np.ndarray, "n h w c"]:
        """The images of a split as the model is evaluated on them, uint8 [N, H, W, C].

        UserError where they are not there, or not those the run was trained with.
        """
        if split not in SPLITS:
            raise choose_from("split", split, SPLITS)
        data = self.settings.data
        dataset = identity.load(data, self.facts, trained=self.trained.data, stored=self.hashes)
        return datasets.fixed_images(dataset.splits[split], self.facts, data)[1]
