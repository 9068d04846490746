"""The numbers of an eval.json as they are shown: each with its error, its model and what it is."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vdp.evaluation import noisy, report
from vdp.metrics import divergence
from vdp.runtime.numbers import with_error

NO_LIKELIHOOD = "no likelihood"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over images and its standard error, which one image alone does not have."""

    mean: float
    se: float | None

    def text(self, digits: int) -> str:
        """Both, as "-83.90 ± 0.67"."""
        return with_error(self.mean, self.se, f".{digits}f")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """One estimate of log p(x).

    Attributes:
      name: of the estimator, one of `eval.estimators`.
      model: of the data that it is of: "exact", "T=25", "T=inf", "ode".
      nats: log-probability of an image; of a density where `bits` is None.
      bits: per dimension, positive.
      num_samples: K of importance weights; None of a bound without them.
      ascent: how its posteriors were found, where each image has its own; else "".
      seconds: that it took; None in older results.
      note: what its prior has to say of it, or why it is no bound; "" for nothing.
      step: of the checkpoint, where it is an earlier one than the rest is of.
      noise: why it is loose by an unknown amount, of weights that are too few; "" where not known.
      not_a_bound: why, where that is known; "" of bounds.
    """

    name: str
    model: str
    nats: Mean
    bits: Mean | None
    num_samples: int | None
    ascent: str
    seconds: float | None
    note: str
    step: int | None
    noise: str = ""
    not_a_bound: str = ""

    @property
    def label(self) -> str:
        """The name, with what its tightness depends on."""
        of = [f"K = {self.num_samples}"] if self.num_samples is not None else []
        return ", ".join([self.name, *of, *[self.ascent] * bool(self.ascent)])

    @property
    def is_bound(self) -> bool:
        """Whether log p(x) of its model is at least as high, but for chance."""
        return not self.not_a_bound

    @property
    def kind(self) -> str:
        """What it is, in words."""
        kind = "lower bound" if self.is_bound else "not a bound"
        density = ", on a density" if self.is_bound and self.bits is None else ""
        earlier = "" if self.step is None else f"; of step {self.step:,}"
        doubt = "; noisy" if self.noise else ""
        return f"{kind}{density}{earlier}{doubt}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table of estimates, as text; what there is not is empty."""

    label: str
    model: str
    value: str
    bits: str
    kind: str
    is_bound: bool = True
    seconds: float | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number that stands for a run: its first estimate, else its score, or FID.

    Attributes:
      value: with its error over images.
      unit: of it.
      label: what it is, with the model that it is of.
      kind: as of `Estimate`, or that it is no likelihood.
      bits: per dimension, where they are defined.
    """

    value: Mean
    unit: str
    label: str
    kind: str
    bits: Mean | None = None

    @property
    def name_and_unit(self) -> str:
        """Both, but not one word twice."""
        return self.unit if self._is_named_by_unit else f"{self.label}, {self.unit}"

    @property
    def said(self) -> str:
        """What stands below the number and its unit."""
        return self.kind if self._is_named_by_unit else f"{self.label}: {self.kind}"

    @property
    def _is_named_by_unit(self) -> bool:
        return self.unit.startswith(self.label)

    @property
    def digits(self) -> int:
        """Decimals that are shown: two of log-probabilities, four of others."""
        return 2 if self.unit.startswith("nats") else 4

    @property
    def text(self) -> str:
        """The number with its error."""
        return self.value.text(self.digits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latent:
    """What one latent carries; None: not known.

    Attributes:
      name: u, z_1, ..., or z of a flat model.
      height: of its feature map.
      units: numbers in it.
      active: of these, whose posterior mean varies with the image.
      used: of these, that have a rate above 0.01 nats; of a hierarchy.
      rate: mean KL to its prior, in nats.
      share: of the largest rate of the model, in [0, 1].
    """

    name: str
    height: int | None
    units: int | None
    active: int | None
    used: int | None
    rate: float
    share: float


def estimates(result: Mapping[str, Any]) -> list[Estimate]:
    """The estimates of a result, those that it keeps of earlier checkpoints last."""
    every = [*result["estimators"].items(), *(result.get("earlier") or {}).items()]
    return [_estimate(name, entry) for name, entry in every if entry and "nats" in entry]


def _estimate(name: str, entry: Mapping[str, Any]) -> Estimate:
    why, noise = divergence.why_no_bound(name, entry), noisy.in_words(entry)
    return Estimate(
        name=name,
        model=str(entry["model"]),
        nats=Mean(**entry["nats"]),
        bits=Mean(**entry["bits_per_dim"]) if entry["bits_per_dim"] else None,
        num_samples=entry.get("k"),
        ascent=report.ascent(entry),
        seconds=entry.get("seconds"),
        note="; ".join(filter(None, (why, noise, str(entry.get("note") or "")))),
        step=entry.get("step"),
        noise=noise,
        not_a_bound=why,
    )


def rows(result: Mapping[str, Any]) -> list[Row]:
    """The table of estimates, and below them the numbers that are no likelihoods."""
    table = [
        Row(
            label=estimate.label,
            model=estimate.model,
            value=estimate.nats.text(2),
            bits=estimate.bits.text(4) if estimate.bits else "",
            kind=estimate.kind,
            is_bound=estimate.is_bound,
            seconds=estimate.seconds,
            note=estimate.note,
        )
        for estimate in estimates(result)
    ]
    if fid := result.get("fid"):
        label = f"FID of {fid['num_samples']:,} samples, {fid['features']}"
        model, value = "the sampler's", f"{fid['value']:.2f}"
        table.append(Row(label=label, model=model, value=value, bits="", kind=NO_LIKELIHOOD))
    if score := _score(result):
        table.append(
            Row(label=score.name_and_unit, model="", value=score.text, bits="", kind=NO_LIKELIHOOD)
        )
    return table


def unit(result: Mapping[str, Any]) -> str:
    """The head of the column of values: rows that are no likelihoods name their own."""
    return "nats" if estimates(result) else "value"


def headline(result: Mapping[str, Any]) -> Headline | None:
    """The number that stands for a result; None where it has none. What bounds nothing is last."""
    known = sorted(estimates(result), key=lambda e: (e.step is not None, not e.is_bound))
    if known:
        first = known[0]
        return Headline(
            value=first.nats,
            unit="nats" if first.bits else "nats of a density",
            label=f"{first.label} ({first.model})",
            kind=first.kind,
            bits=first.bits,
        )
    if score := _score(result):
        return score
    if fid := result.get("fid"):
        value = Mean(mean=fid["value"], se=None)
        return Headline(value=value, unit="", label="FID", kind=NO_LIKELIHOOD)
    return None


def _score(result: Mapping[str, Any]) -> Headline | None:
    """Of a model without a probability of images; runs of 0.1 have a squared error or nothing."""
    if own := result.get("score"):
        value, label = Mean(mean=own["mean"], se=own["se"]), own["name"].replace("_", " ")
        return Headline(value=value, unit=own["unit"], label=label, kind=NO_LIKELIHOOD)
    if result.get("mse") is not None and not any(result["estimators"].values()):
        value = Mean(mean=result["mse"], se=result.get("mse_se"))
        return Headline(value=value, unit="a pixel", label="mse", kind=NO_LIKELIHOOD)
    return None


def latents(result: Mapping[str, Any]) -> list[Latent]:
    """What the latents of a result carry, top first; [] where it has no rates."""
    rates = result["rates"] or []
    table = result["latents"] or [{"name": f"latent {place + 1}"} for place in range(len(rates))]
    largest = max(rates, default=0.0) or 1.0
    return [
        Latent(
            name=row["name"],
            height=row.get("height"),
            units=row.get("units"),
            active=row.get("active"),
            used=row.get("used"),
            rate=rate,
            share=max(rate, 0.0) / largest if largest > 0 else 0.0,
        )
        for row, rate in zip(table, rates, strict=False)
    ]
