"""A validation: the score of the averaged parameters, its parts, and what the latents carry."""

import dataclasses

import jax

from vdp.data import datasets
from vdp.metrics import per_batch, score
from vdp.metrics.batched import Batched
from vdp.metrics.likelihood import bits_per_dim
from vdp.runtime.progress import Progress
from vdp.settings import Settings
from vdp.training.collapse import Histograms, Values, Watch
from vdp.training.state import State
from vdp.types import Model, Probabilistic, Score, Stochastic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What one validation has found.

    Attributes:
      metric: the score, higher is better, by which the best checkpoint is chosen.
      values: by the names of metrics.jsonl, without "eval/".
      histograms: arrays of numbers, likewise.
    """

    metric: float
    values: Values
    histograms: Histograms


class Validation:
    """Measures a model on the validation images; its warnings are said once.

    Args:
      settings: of the run.
      model: what is trained.
      dataset: of `settings.data`.
      mesh: the devices.
      progress: where warnings are said.
    """

    def __init__(
        self,
        settings: Settings,
        model: Model,
        dataset: datasets.Dataset,
        mesh: jax.sharding.Mesh,
        progress: Progress,
    ):
        split, self._facts = dataset.splits["validation"], dataset.facts
        self._images = (*datasets.fixed_images(split, self._facts, settings.data), split.labels)
        self._model, self._progress, self._warned = model, progress, False
        self._batched = Batched(mesh, settings.eval.batch_size, settings.eval.seed)
        self._score = score.score_of(model)
        self._bits = isinstance(model, Probabilistic) and model.discrete
        self._watch: Watch | None = None
        if isinstance(model, Stochastic):
            self._watch = Watch(model, self._facts.shape, settings.model)

    def __len__(self) -> int:
        """How many images there are; without any nothing can be measured."""
        return len(self._images[0])

    def measure(self, state: State, step: int) -> Measured:
        """Scores the averaged parameters; the posteriors are looked at on one batch.

        Args:
          state: of the training.
          step: its number.

        Raises:
          Interrupted: a signal came between two batches.
        """
        of = (self._model, state.ema, state.ema_stats)
        parts = self._batched.map(score.flat_terms, *of, self._images)
        if not self._warned and (sentence := score.negative_rate(self._model, parts)):
            self._warned = True
            self._progress.say(sentence)
        means = {name: float(part.mean()) for name, part in parts.items()}
        metric, _ = means.pop("value"), parts.pop("value")
        values, histograms = score.shown(self._score, metric, means), Histograms()
        if self._bits:
            values["bits_per_dim"] = float(bits_per_dim(metric, self._facts.shape))
        if self._watch:
            target, inputs, labels = (a[: self._batched.batch_size] for a in self._images)
            q = self._batched.map(per_batch.encode, *of, (target, inputs, labels))
            of_latents, histograms, sentence = self._watch.measure(step, parts, q)
            values |= of_latents
            if sentence:
                self._progress.say(sentence)
        return Measured(metric=metric, values=values, histograms=histograms)


def in_words(values: Values, shown: Score) -> str:
    """The score among means by name, for the person: in bits per dimension where they have it."""
    if "bits_per_dim" in values:
        return f"{values['bits_per_dim']:.4f} bits/dim"
    return f"{values[shown.name]:.2f} {shown.unit}"
