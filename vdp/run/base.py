"""A checkpoint with its data, and how functions are mapped over images: what a run is made of."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int32, UInt8
from ml_collections import config_dict

from vdp.data import datasets, identity
from vdp.data.core import Split
from vdp.errors import UserError, choose_from
from vdp.metrics.batched import Batched, Kept
from vdp.run import inputs
from vdp.settings import SPLITS, Settings
from vdp.settings.parse import to_config
from vdp.training import state
from vdp.types import AnyArray, Arrays, Model, Params, Stats

M = TypeVar("M", bound=Model, covariant=True)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Base(Generic[M]):
    """A checkpoint: what is asked is asked of this. `Run` says what the attributes are."""

    settings: Settings
    model: M
    params: Params
    stats: Stats
    step: int
    facts: datasets.Facts
    batched: Batched
    trained: Settings
    hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        spec = self.trained.model
        prior = (spec.get("prior") or {}).get("name")
        model = spec["name"] + (f" with prior {prior}" if prior else "")
        count = state.count_parameters(self.params)["total"]
        of = f"{model}, trained on {self.trained.data.name}"
        return f"Run({of}: step {self.step:,}, {count:,} parameters)"

    @property
    def config(self) -> config_dict.ConfigDict:
        """The settings as a ConfigDict."""
        return to_config(self.settings)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes 0, 1, ... of `labels`, as of folders; empty where unknown."""
        return self.facts.info.class_names

    def arrays(self, x: AnyArray, labels: AnyArray | None = None) -> inputs.Inputs:
        """(target, input, labels) of images as the encoder sees them, uint8 [N, H, W, C].

        UserError for another shape, type, or more levels or classes than the model is made for.
        """
        seed = self.settings.data.binarization_seed
        return inputs.arrays(x, self.facts, seed=seed, labels=labels)

    def _seeded(self, seed: int | None) -> "Base[M]":
        """The run with other random numbers than those of its evaluation, where asked."""
        if seed is None:
            return self
        batched = self.batched.reseeded(inputs.seed(seed))
        return dataclasses.replace(self, batched=batched)

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

    def images(self, split: str = "test") -> UInt8[np.ndarray, "n h w c"]:
        """The images of a split as the model is evaluated on them, uint8 [N, H, W, C], to be read.

        UserError where they are not there, or not those the run was trained with.
        """
        return datasets.fixed_images(self._split(split), self.facts, self.settings.data)[1]

    def labels(self, split: str = "test") -> Int32[np.ndarray, "n"]:
        """The classes of the images of a split, int32 [N], -1 where there is none; errors alike."""
        return self._split(split).labels

    def _split(self, split: str) -> Split:
        if split not in SPLITS:
            raise choose_from("split", split, SPLITS)
        return self._dataset.splits[split]

    @functools.cached_property
    def _dataset(self) -> datasets.Dataset:
        """Read, and compared with that of the training, when its images are first asked for."""
        data, trained = self.settings.data, self.trained.data
        dataset = identity.load(data, self.facts, trained=trained, stored=self.hashes)
        for split in dataset.splits.values():  # they are handed out, and kept
            split.images.setflags(write=False)
            split.labels.setflags(write=False)
        return dataset
