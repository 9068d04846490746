"""The card of an exported run: README.md with the front matter of the Hugging Face Hub."""

import json
from collections.abc import Mapping
from typing import Any

from vdp import __version__
from vdp.evaluation import noisy
from vdp.record import Record, Weights
from vdp.run import Run
from vdp.runtime import sources
from vdp.settings import Data
from vdp.types import Generative, Model

NO_BOUNDS = ("dvp_reference",)  # of the estimators
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
    title = _title(run)
    parts = [_front_matter(run, title, result), f"# {title}\n", _opened(run, stored)]
    parts += [_trained(run, stored, weights), _estimates(result)]
    return "\n".join(parts)


def _title(run: Run[Model]) -> str:
    prior = run.trained.model.get("prior") or {}
    of = (run.trained.data.name or "images").partition(":")[0]
    of = run.facts.info.name if of in ("npz", "mat", "folder", "tfds") else of
    under = f" with prior {prior['name']}" if prior else ""
    return f"{run.trained.model['name']}{under}, trained on {of}"


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
    """The estimates and FID for the Hub's index; none of what is no bound."""
    if result is None:
        return []
    metrics = [
        {"type": name, "name": _metric_name(name, entry), "value": entry["nats"]["mean"]}
        for name, entry in result["estimators"].items()
        if entry and name not in NO_BOUNDS
    ]
    fid = result.get("fid")
    return metrics + ([{"type": "fid", "name": "FID", "value": fid["value"]}] if fid else [])


def _metric_name(name: str, entry: Mapping[str, Any]) -> str:
    noise = ", noisy" if noisy.is_noisy(entry) else ""
    return f"{name}, nats ({entry['model']}{noise})"


def _opened(run: Run[Model], stored: Record) -> str:
    lines = [
        "```python",
        "import vdp  # the distribution vdp-diffusion-priors",
        "",
        'run = vdp.load("PATH")  # this folder, downloaded or cloned',
    ]
    if isinstance(run.model, Generative):
        lines += ["run.sample(16)  # images in [0, 1]"]
    lines += [
        'run.scores(run.images("test"))  # by image; data elsewhere: vdp.load(PATH, data=...)'
    ]
    said = ["```", ""]
    if (stored.workdir / sources.FOLDER).is_dir() or sources.modules(stored.settings.model):
        said += [
            f"Components of its authors' own are in `{sources.FOLDER}/`: opening it runs them "
            "where they are not installed, so read them first.",
            "",
        ]
    return "\n".join([*lines, *said])


def _trained(run: Run[Model], stored: Record, weights: Weights) -> str:
    """What was trained, on what, and what of it is stored."""
    settings, facts = run.trained, run.facts
    shape = "x".join(map(str, facts.shape))
    counts = ", ".join(f"{n:,} {split}" for split, n in stored.counts.items())
    total = stored.parameters.get("total")
    rows = {
        "model": f"{settings.model['name']}, {total:,} parameters" if total else None,
        "prior": (settings.model.get("prior") or {}).get("name"),
        "likelihood": (settings.model.get("likelihood") or {}).get("name"),
        "data": f"{facts.info.name}, {shape}, {facts.info.levels} levels of grey",
        "images": counts or None,
        "made of them": _regime(settings.data),
        "hashes": ", ".join(f"{split} {text}" for split, text in stored.hashes.items()) or None,
        "training": f"{run.step:,} of {settings.train.steps:,} steps of "
        f"{settings.train.batch_size} images, {settings.optim.name}, learning rate "
        f"{settings.optim.learning_rate:g}, seed {settings.seed}",
        "weights": f"average of the parameters at step {weights.step}, {weights.dtype}"
        + ("; opened as float32" if weights.dtype != "float32" else ""),
        "written by": f"vdp {__version__}; `config.json` has every field",
    }
    table = [f"| {name} | {value} |" for name, value in rows.items() if value]
    return "\n".join(["## What was trained", "", "| | |", "| --- | --- |", *table, ""])


def _regime(data: Data) -> str:
    """What becomes of the images before a model sees them."""
    drawn = {
        "dynamic": "binarised: drawn anew in training, once (seed "
        f"{data.binarization_seed}) for evaluation; the encoder sees the {data.encoder_input}"
    }
    made = [drawn.get(data.binarization), f"resized to {data.resize}" if data.resize else None]
    made += [f"scaled to {data.levels} levels" if data.levels else None]
    made += ["mirrored at random in training" if data.augmentation == "flip" else None]
    return "; ".join(part for part in made if part) or "taken as they are"


def _estimates(result: Mapping[str, Any] | None) -> str:
    lines = ["## Estimates", ""]
    if result is None:
        lines += ["This checkpoint was not evaluated before it was exported."]
        return "\n".join([*lines, ""])
    lines += [
        f"Of {result['num_examples']:,} images of the {result['split']} split, by the weights in "
        "float32; ± is the standard error over images. Numbers in nats are mean log-probabilities "
        "of an image, higher is better. A bound is one on log p(x) of the model that stands beside "
        "it: `T=inf` and `T=n` are a diffusion in continuous time and its chain of n steps, `ode` "
        "its probability flow.",
        "",
        "| estimate | model | nats | bits/dim | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, entry in result["estimators"].items():
        if entry:
            weighted = f", K = {entry['k']}" if "k" in entry else ""
            bits = _with_error(entry["bits_per_dim"], 4) if entry["bits_per_dim"] else ""
            kind = "**not a bound**" if name in NO_BOUNDS else "lower bound"
            kind += f"; **noisy**: {words}" if (words := noisy.in_words(entry)) else ""
            nats = _with_error(entry["nats"], 2)
            lines.append(f"| {name}{weighted} | {entry['model']} | {nats} | {bits} | {kind} |")
    if fid := result.get("fid"):
        lines.append(f"| FID of {fid['num_samples']:,} samples, {fid['features']} | the sampler's "
                     f"| {fid['value']:.2f} | | no likelihood |")  # fmt: skip
    if own := result.get("score"):
        lines.append(
            f"| {own['name']}, {own['unit']} | | {_with_error(own, 4)} | | no likelihood |"
        )
    return "\n".join([*lines, ""])


def _with_error(value: Mapping[str, Any], digits: int) -> str:
    error = "" if value["se"] is None else f" ± {value['se']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{error}"
