"""The card of an exported run: README.md with the front matter of the Hugging Face Hub.

What it says of model, data and estimates is said as on the card of the run itself (`vdp.cards`).
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from vdp import __version__
from vdp.cards import markdown, numbers, words
from vdp.evaluation import report
from vdp.record import Record, Weights
from vdp.run import Run
from vdp.runtime import sources
from vdp.types import Classifying, Generative, Model

TASK = "unconditional-image-generation"


def text(
    run: Run[Model], stored: Record, weights: Weights, result: Mapping[str, Any] | None
) -> str:
    """The whole card.

    Args:
      run: the checkpoint.
      stored: what the run has stored of itself.
      weights: that the card stands beside.
      result: what eval.json holds of this checkpoint; None where it was not evaluated.
    """
    stored = dataclasses.replace(stored, data=dataclasses.asdict(run.facts.info))
    title = words.title(stored)
    parts = [_front_matter(run, title, result), f"# {title}\n", _opened(run, stored)]
    parts += [_trained(run, stored, weights), _estimates(result)]
    return "\n".join(parts)


def _front_matter(run: Run[Model], title: str, result: Mapping[str, Any] | None) -> str:
    """YAML between two lines of dashes; values are written as JSON, which is YAML too."""
    fields: dict[str, Any] = {
        "library_name": "vdp",
        "tags": ["vdp", "jax", "flax", run.trained.model["name"]],
    }
    if isinstance(run.model, Generative):
        fields["pipeline_tag"] = TASK
    if metrics := _metrics(result):
        dataset = {"name": run.facts.info.name, "type": run.facts.info.name}
        entry = {"task": {"type": TASK}, "dataset": dataset, "metrics": metrics}
        fields["model-index"] = [{"name": title, "results": [entry]}]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _metrics(result: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The estimates and FID for the Hub's index; none of what is no bound, or of other steps.

    None at all of components that had been edited since the run was trained.
    """
    if result is None or result.get("edited_sources"):
        return []
    metrics = [
        {"type": e.name, "name": _metric_name(e), "value": e.nats.mean}
        for e in numbers.estimates(result)
        if e.is_bound and e.step is None
    ]
    fid = result.get("fid")
    return metrics + ([{"type": "fid", "name": "FID", "value": fid["value"]}] if fid else [])


def _metric_name(estimate: numbers.Estimate) -> str:
    noise = ", noisy" if estimate.noise else ""
    return f"{estimate.name}, nats ({estimate.model}{noise})"


def _opened(run: Run[Model], stored: Record) -> str:
    generative = isinstance(run.model, Generative)
    said = "this folder, downloaded or cloned"
    classifying = isinstance(run.model, Classifying)
    opening = words.opening("PATH", generative=generative, classifying=classifying, said=said)
    lines = markdown.code(opening, "python")
    if (stored.workdir / sources.FOLDER).is_dir() or sources.modules(stored.settings.model):
        lines += [
            "",
            f"Components of its authors' own are in `{sources.FOLDER}/`: opening it runs them "
            "where they are not installed, so read them first.",
        ]
    return "\n".join([*lines, ""])


def _trained(run: Run[Model], stored: Record, weights: Weights) -> str:
    """What was trained, on what, and what of it is stored."""
    rows = words.trained(stored, run.step) | {
        "weights": f"average of the parameters at step {weights.step}, {weights.dtype}"
        + ("; opened as float32" if weights.dtype != "float32" else ""),
        "written by": f"vdp {__version__}; `config.json` has every field",
    }
    return "\n".join(["## What was trained", "", *markdown.pairs(rows), ""])


def _estimates(result: Mapping[str, Any] | None) -> str:
    lines = ["## Estimates", ""]
    if result is None:
        lines += ["This checkpoint was not evaluated before it was exported."]
        return "\n".join([*lines, ""])
    lines += [
        f"Of {result['num_examples']:,} images of the {result['split']} split, by the weights in "
        f"float32; ± is the standard error over images. {words.BOUNDS}",
        "",
        *markdown.estimates(numbers.rows(result), numbers.unit(result)),
        *[line for doubt in report.doubts(result) for line in ("", doubt)],
    ]
    return "\n".join([*lines, ""])
