"""What was trained, on what, and how it is opened, in words; from what a run has stored of itself.

The card of a run and that of an exported one say it alike.
"""

import json
from collections.abc import Mapping
from typing import Any

from vdp.data import datasets
from vdp.record import PATH_KINDS, Record
from vdp.settings import Data

BOUNDS = (
    "Numbers in nats are mean log-probabilities of an image, higher is better. A bound is one on "
    "log p(x) of the model that stands beside it: `T=inf` and `T=n` are a diffusion in continuous "
    "time and its chain of n steps, `ode` its probability flow. What is no bound can be higher "
    "than log p(x), and is not compared with one."
)
MODELS = {
    "vae": "variational autoencoder",
    "hvae": "hierarchical variational autoencoder",
    "pixel": "diffusion model of pixels",
    "ae": "autoencoder",
    "classifier": "classifier",
}
PRIORS = {
    "normal": "a Gaussian prior",
    "mixture": "a mixture of Gaussians as prior",
    "vamp": "a VampPrior",
    "flow": "a normalising flow as prior",
    "tarflow": "a transformer flow as prior",
    "trajectory": "a diffusion of few flow steps as prior",
    "vdm": "a diffusion prior (VDM)",
    "ddpm": "a diffusion prior (DDPM)",
}


def title(record: Record) -> str:
    """The model, its prior and the data: "vae with prior vdm, trained on digits"."""
    spec = record.settings.model
    prior = spec.get("prior") or {}
    under = f" with prior {prior['name']}" if prior else ""
    return f"{spec['name']}{under}, trained on {data_name(record)}"


def data_name(record: Record) -> str:
    """The name of the data set; of images of one's own, that of their file or folder."""
    of = (record.settings.data.name or "images").partition(":")[0]
    kept = (record.data or {}).get("name")
    return kept if kept and of in (*PATH_KINDS, "tfds") else of


def phrase(record: Record) -> str:
    """The kind of model and its prior, for somebody who knows none of the names in a config."""
    spec = record.settings.model
    name, kind = spec["name"], spec.get("kind")
    model = MODELS.get(name, f"model {name}")
    if name == "ae" and kind not in (None, "plain"):
        model = f"{kind} {model}"
    prior = (spec.get("prior") or {}).get("name")
    under = f" with {PRIORS.get(prior, f'the prior {prior}')}" if prior else ""
    if name == "pixel" and prior:
        under = f" ({prior.upper()})"
    pseudo = (spec.get("pseudoinput") or {}).get("name")
    over = f" over pseudo-inputs ({pseudo})" if pseudo else ""
    return f"{model[0].upper()}{model[1:]}{under}{over}"


def trained_on(record: Record, trained_for: int) -> str:
    """How long it was trained, and on what, as a sentence.

    Args:
      record: what the run has stored of itself.
      trained_for: steps that it has come to.
    """
    train, count = record.settings.train, record.counts.get("train")
    images = f"{count:,} images" if count else "images"
    return (
        f"Trained for {trained_for:,} steps of {train.batch_size} images each on "
        f"{images} of {data_name(record)}."
    )


def trained(record: Record, step: int) -> dict[str, str]:
    """What was trained, on what, {name: text}; what is not known is left out.

    Args:
      record: what the run has stored of itself.
      step: that it has come to, or of the checkpoint that is shown.
    """
    settings, spec = record.settings, record.settings.model
    counts = ", ".join(f"{n:,} {split}" for split, n in record.counts.items())
    total = record.parameters.get("total")
    known = {
        "model": f"{spec['name']}, {total:,} parameters" if total else spec["name"],
        "prior": (spec.get("prior") or {}).get("name"),
        "likelihood": (spec.get("likelihood") or {}).get("name"),
        "data": _images(record),
        "images": counts,
        "made of them": _regime(settings.data),
        "hashes": ", ".join(f"{split} {text}" for split, text in record.hashes.items()),
        "training": f"{step:,} of {settings.train.steps:,} steps of "
        f"{settings.train.batch_size} images, {settings.optim.name}, learning rate "
        f"{settings.optim.learning_rate:g}, seed {settings.seed}",
    }
    return {name: text for name, text in known.items() if text}


def _images(record: Record) -> str:
    """Name, size and levels of the images; the name alone in runs that kept no more."""
    if record.data is None:
        return data_name(record)
    facts = datasets.recall(record.data, record.settings.data)
    shape = "x".join(map(str, facts.shape))
    return f"{facts.info.name}, {shape}, {facts.info.levels} levels"


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


def hardware(stored: Mapping[str, Any]) -> str:
    """The entry of config.json in words; "" where an older version kept none."""
    if "kind" not in stored:
        return ""
    text = f"{stored.get('devices', 1)} x {stored['kind']}"
    if (processes := stored.get("processes", 1)) > 1:
        text += f" in {processes} processes"
    return f"{text}, {stored['cores']} cores" if stored.get("cores") else text


def opening(path: str, *, generative: bool, classifying: bool, said: str) -> list[str]:
    """The lines of Python that open a run.

    Args:
      path: of its folder.
      generative: whether its model has samples.
      classifying: whether it is scored by classes.
      said: a comment on the path.
    """
    scored = 'run.images("test")' + (', labels=run.labels("test")' if classifying else "")
    return [
        "import vdp  # the distribution vdp-diffusion-priors",
        "",
        f"run = vdp.load({json.dumps(path, ensure_ascii=False)})  # {said}",
        *(["run.sample(16)  # images in [0, 1]"] if generative else []),
        f"run.scores({scored})  # by image; data elsewhere: vdp.load(PATH, data=...)",
    ]
