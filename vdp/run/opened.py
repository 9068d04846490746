"""What can be asked of an opened run: scores, codes, reconstructions and samples."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp import build
from vdp.errors import UserError
from vdp.levels import from_unit
from vdp.metrics import likelihood, per_batch, score, smoothness
from vdp.run import codes, compression, programs, saved
from vdp.run.base import M
from vdp.run.codes import Code
from vdp.runtime import files
from vdp.types import (
    AnyArray,
    Classifying,
    DiffusionLike,
    Encoding,
    Generative,
    Key,
    Latent,
    LatentGenerative,
    OverPrior,
    Reconstructing,
    Terms,
    Weighted,
)

Images = Float[np.ndarray, "n h w c"]  # in [0, 1]
SINGLE = "single latent that is decoded by itself"


class Run(compression.Compressing[M]):
    """A run, opened: images are uint8 levels [N, H, W, C], results numpy arrays.

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

    def elbo(
        self, x: AnyArray, *, labels: AnyArray | None = None, seed: int | None = None
    ) -> Terms:
        """The bound in nats with its parts, each [N]; of other models, minus what they report.

        Args:
          x: images uint8 [N, H, W, C].
          labels: classes [N], which a classifier is scored by.
          seed: of the draws; None: those of the evaluation (eval.seed), the same at every call.
        """
        if labels is None and isinstance(self.model, Classifying):
            raise UserError("a classifier is scored by classes: give labels=")
        parts = self._seeded(seed).map(score.flat_terms, self.arrays(x, labels))
        return Terms(value=parts.pop("value"), parts=parts)

    def iwae(
        self, x: AnyArray, *, num_samples: int | None = None, seed: int | None = None
    ) -> Float[np.ndarray, "n"]:
        """The IWAE bound in nats, [N], by default of eval.iwae_samples; seed as of `elbo`."""
        self._able(Weighted, "log_weight")
        chosen = self.settings.eval
        num_samples = num_samples or chosen.iwae_samples
        chunk, arrays = min(chosen.iwae_chunk, num_samples), self.arrays(x)
        how: dict[str, Any] = dict(num_samples=num_samples, chunk=chunk)
        return self._seeded(seed).map(likelihood.iwae_terms, arrays, **how)["value"]

    def scores(self, x: AnyArray, **options: Any) -> dict[str, Float[np.ndarray, "n"]]:
        """What validations compare, with its parts, by the names of metrics.jsonl, each [N].

        {"elbo": ..., "likelihood": ..., ...} in nats, higher is better; of a model without a bound
        its own score, as "squared_error", with the sign that people read. Options as of `elbo`.
        """
        terms = self.elbo(x, **options)
        return score.shown(score.score_of(self.model), terms.value, terms.parts)

    def encode(self, x: AnyArray) -> Code:
        """The posteriors q(z|x) by latent; of a flat model with the `mean` and `log_var` of z."""
        model = self._able(Encoding, "encode")
        return codes.of(self.map(per_batch.encode, self.arrays(x)), model, self.facts.shape)

    def encode_each(self, x: AnyArray) -> Iterator[Code]:
        """The codes of `encode`, one batch of `eval.batch_size` images at a time."""
        model = self._able(Encoding, "encode")
        for q in self.each(per_batch.encode, self.arrays(x)):
            yield codes.of(q, model, self.facts.shape)

    def reconstruct(self, x: AnyArray, *, seed: int | None = None) -> Images:
        """Mean images in [0, 1] of one posterior draw each, [N, H, W, C]; seed as of `elbo`."""
        self._able(Reconstructing, "reconstruct")
        return self._seeded(seed).map(per_batch.reconstruct, self.arrays(x))

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
        return programs.draws(
            self, per_batch.sample, num, seed, x_shape=self.facts.shape, **options
        )

    def save_samples(
        self, path: str | pathlib.Path, num: int, *, seed: int | Key = 0, **options: Any
    ) -> None:
        """Draws `num` images and writes them, as levels of the data.

        Args:
          path: a file that ends in .npz (`images` uint8 [num, H, W, C], and `levels`), else a
            folder for PNG files.
          num: how many.
          seed: as of `sample`, like `options`.
          options: `mean` (True: the likelihood's means, rounded; False: drawn pixels), and those of
            the prior's sampler.
        """
        place, levels = files.located(path), self.facts.info.levels
        saved.check(place, self.facts.shape[-1])
        images = from_unit(self.sample(num, seed=seed, **options), levels)
        saved.write(place, images, levels)

    def sample_latents(
        self, num: int, *, seed: int | Key = 0, **options: Any
    ) -> Float[np.ndarray, "{num} *z"]:
        """[num, *latent_shape] draws of the prior; options as of `sample`."""
        build.check_sampler(self._able(LatentGenerative, "sample_latents"), options)
        return programs.draws(self, per_batch.sample_latents, num, seed, **options)

    def denoising(
        self, num: int, *, seed: int | Key = 0, **options: Any
    ) -> Float[np.ndarray, "{num} t *z"]:
        """The diffusion prior's z_hat at every step of its sampler: [num, T, *prior_shape]."""
        model = self._able(OverPrior, "prior")
        if not isinstance(model.prior, DiffusionLike):
            raise UserError(f"model {self.settings.model['name']} has no diffusion prior")
        build.check_sampler(model, options)
        return programs.draws(
            self, per_batch.denoising, num, seed, x_shape=self.facts.shape, **options
        )

    def decode(self, z: AnyArray) -> Images:
        """Mean images in [0, 1] of latents [N, *latent_shape]: [N, H, W, C]."""
        shape = self._able(Latent, SINGLE).latent_shape
        return programs.images(self, per_batch.decode, z, tuple(shape))

    def interpolate(
        self, x_a: AnyArray, x_b: AnyArray, num: int = 10
    ) -> Float[np.ndarray, "n {num} h w c"]:
        """Decoded straight lines between codes (posterior means): [N, num, H, W, C] in [0, 1].

        Args:
          x_a: images that the lines start from, uint8 [N, H, W, C].
          x_b: as many, that they end at.
          num: points of a line, both ends among them.

        Raises:
          UserError: the model has no single latent that is decoded by itself.
        """
        self._able(Latent, SINGLE)
        start, end = self.encode(x_a).mean, self.encode(x_b).mean
        if len(start) != len(end) or num < 2:
            raise UserError("lines need two points or more, and as many ends as starts")
        return self._decoded_lines(smoothness.between(start, end, num))

    def traverse(
        self, x: AnyArray | None, latent: int | np.integer | Sequence[int], values: Sequence[float]
    ) -> Float[np.ndarray, "n v h w c"]:
        """Images decoded while one number of the code takes values in turn: [N, V, H, W, C].

        Args:
          x: images uint8 [N, H, W, C] whose codes (posterior means) are changed; None for one draw
            of the prior, N = 1.
          latent: which number of the code: its index, or its place in a map.
          values: V of them, in the units of the code, which under a Gaussian prior are deviations.

        Raises:
          UserError: the model has no single latent that is decoded by itself, as a hierarchy.
        """
        self._able(Latent, SINGLE)
        z = self.sample_latents(1) if x is None else self.encode(x).mean
        return self._decoded_lines(codes.moved(z, latent, values))

    def _decoded_lines(self, z: Float[np.ndarray, "n v *z"]) -> Float[np.ndarray, "n v h w c"]:
        return self.decode(z.reshape(-1, *z.shape[2:])).reshape(*z.shape[:2], *self.facts.shape)

    def show(self, z: AnyArray) -> Images:
        """What the prior's latents [N, *prior_shape] look like: [N, H, W, C] in [0, 1]."""
        shape = self._able(OverPrior, "prior_images").prior_shape(self.facts.shape)
        return programs.images(self, per_batch.show, z, tuple(shape))
