"""A classifier of the data set's labels: its hidden layer is the default feature space of FID."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vdp.errors import UserError
from vdp.levels import to_unit
from vdp.models.noise import NoNoise
from vdp.nets import stateful
from vdp.settings.rules import Checked, Share, Size
from vdp.types import (
    Array,
    Aux,
    Batch,
    Images,
    Key,
    Levels,
    Noise,
    Params,
    Purpose,
    Score,
    Shape,
    Stats,
    Terms,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Checked):
    """A network of log p(label | x) with one hidden layer of features before the logits.

    Attributes:
      net: called as net(x, out_shape, train=...).
      num_classes: given by the data.
      input_levels: levels of the images; given by the data.
      num_features: size of the feature layer.
      dropout: on the features, in training.
    """

    net: nn.Module
    num_classes: int
    input_levels: int
    num_features: Size = 64
    dropout: Share = 0.2
    score: ClassVar[Score] = Score(
        name="label_log_prob", label="negative log-probability of the label", unit="nats"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_classes < 2:
            raise UserError("a classifier needs a data set with at least two classes of labels")

    @property
    def _head(self) -> nn.Module:
        return nn.Dense(self.num_classes)

    def init(self, rng: Key, x_shape: Shape, *, data: Levels | None = None) -> tuple[Params, Stats]:
        """Parameters {"net", "head"} and stats {"net"}."""
        net_rng, head_rng = jax.random.split(rng)
        x = jnp.zeros((1, *x_shape))
        net, stats = stateful.init(self.net, net_rng, x, (self.num_features,))
        head = self._head.init(head_rng, jnp.zeros((1, self.num_features)))["params"]
        return {"net": net, "head": head}, {"net": stats}

    def features(
        self, params: Params, stats: Stats, images: Images,
        *, train: bool = False, rngs: stateful.Rngs = None,
    ) -> tuple[Float[Array, "b {self.num_features}"], Stats]:  # fmt: skip
        """Returns (features [B, num_features], new stats) of images in [0, 1], [B, H, W, C]."""
        hidden, statistics = stateful.apply(
            self.net,
            params["net"],
            stats["net"],
            2.0 * images - 1.0,
            (self.num_features,),
            train=train,
            rngs=rngs,
        )
        return nn.silu(hidden), stats | {"net": statistics.running}

    def _log_probs(
        self, params: Params, stats: Stats, batch: Batch, rng: Key | None = None
    ) -> tuple[Float[Array, "b {self.num_classes}"], Stats]:
        """Returns (log p(class|x) [B, classes], new stats); with `rng` in training mode."""
        images = to_unit(batch.input, self.input_levels)
        net_kwargs: dict[str, Any] = {} if rng is None else stateful.in_mode(True, rng)
        hidden: Any
        hidden, new_stats = self.features(params, stats, images, **net_kwargs)
        if rng is not None:
            dropout = nn.Dropout(self.dropout, deterministic=False)
            hidden = dropout.apply({}, hidden, rng=jax.random.fold_in(rng, 1))
        logits: Any = self._head.apply({"params": params["head"]}, hidden)
        return nn.log_softmax(logits), new_stats

    def draw(self, rng: Key, batch: Batch, *, purpose: Purpose = "loss") -> Noise:
        """Nothing is random but the dropout."""
        return NoNoise()

    def _terms(self, log_probs: Float[Array, "b classes"], batch: Batch) -> Terms:
        """The label's log-probability; nan where there is no label."""
        known = jnp.maximum(batch.label, 0)[:, None]
        log_prob = jnp.take_along_axis(log_probs, known, 1)[:, 0]
        return Terms.of(label_log_prob=jnp.where(batch.label >= 0, log_prob, jnp.nan))

    def loss(
        self, params: Params, stats: Stats, batch: Batch, rng: Key,
        *, step: int | Array, train: bool, noise: Noise = None,
    ) -> tuple[Float[Array, "b"], Aux]:  # fmt: skip
        """The cross-entropy -log p(label | x), [B], and Aux with "accuracy", the share of hits."""
        log_probs, new_stats = self._log_probs(params, stats, batch, rng if train else None)
        terms = self._terms(log_probs, batch)
        accuracy = jnp.mean(jnp.argmax(log_probs, -1) == batch.label)
        return -terms.value, Aux(terms=terms, stats=new_stats, scalars={"accuracy": accuracy})

    def evaluate(
        self, params: Params, stats: Stats, batch: Batch, rng: Key, *, noise: Noise = None
    ) -> Terms:
        """The label's log p(label | x), [B]: what validations compare; nan where there is none."""
        return self._terms(self._log_probs(params, stats, batch)[0], batch)

    def correct(self, params: Params, stats: Stats, batch: Batch) -> Bool[Array, "b"]:
        """Whether the most probable class is the label, [B]."""
        return jnp.argmax(self._log_probs(params, stats, batch)[0], -1) == batch.label


make = Classifier
