"""What a model's `elbo` is called where people read it: metrics, progress, the loss curve."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A name for `Terms.value`, the number a validation compares checkpoints by.

    Attributes:
      name: in metrics, after "train/" and "eval/".
      label: on the loss curve.
      unit: of one number.
      sign: factor of what metrics show; `Terms` has higher values for better models always.
    """

    name: str = "elbo"
    label: str = "negative bound"
    unit: str = "nats"
    sign: float = 1.0

    def metrics(self, value, parts) -> dict:
        """{name: value, part: part}, each with this sign."""
        return {name: self.sign * v for name, v in ({self.name: value} | parts).items()}


def of(model) -> Score:
    """The model's own `score`; a bound in nats where it has none."""
    return getattr(model, "score", Score())
