"""A run's folder as files alone: nothing in it was trained, and every number is known."""

import json

from PIL import Image

HOSTILE = "<script>alert(1)</script>"
CONFIG = {
    "config": {
        "seed": 7,
        "data": {"name": "npz:mine.npz", "num_validation": 2},
        "model": {
            "name": "vae",
            "prior": {"name": "vdm"},
            "likelihood": {"name": "discretized_logistic"},
        },
        "optim": {"name": "adamw", "learning_rate": 0.002},
        "train": {"steps": 40, "batch_size": 8},
    },
    "versions": {"vdp": "0.1.1", "python": "3.11.7"},
    "git_revision": "0123abc-dirty",
    "command": "python -m vdp.main --config=own_vae",
    "hardware": {"devices": 2, "kind": "TPU v9", "processes": 1, "cores": 4},
    "parameters": {"total": 12345, "encoder": 12000, "prior": 345},
    "data": {
        "name": "mine", "shape": [4, 6, 1], "levels": 16, "num_classes": 0,
        "counts": {"train": 32, "test": 5},
    },
    "counts": {"train": 30, "validation": 2, "test": 5},
    "hashes": {"train": "aa11", "test": "bb22"},
}  # fmt: skip


def estimate(nats, model, *, bits=1.25, **more):
    in_bits = None if bits is None else {"mean": bits, "se": 0.125}
    return {"nats": {"mean": nats, "se": 0.5}, "bits_per_dim": in_bits, "model": model, **more}


def result(**more):
    """An eval.json of a flat VAE."""
    missing = dict.fromkeys(("fid", "interpolation", "accuracy", "mse", "score", "information"))
    about = {
        "step": 40, "checkpoint": "best", "split": "test", "num_examples": 5, "settings": {},
        "validations": {"num": 3, "last_step": 40},
        "estimators": {"elbo": estimate(-20.5, "T=inf", seconds=1.5), "iwae": None},
        "rates": [3.25], "latents": [
            {"name": "z", "height": None, "units": 8, "active": 6, "rate": 3.25}
        ],
        "active_units": {"active": 6, "total": 8, "share": 0.75}, "train_seconds": 65.0,
    }  # fmt: skip
    return {**missing, **about, **more}


def metrics():
    """Three validations and four lines of training, at 10 steps each."""
    lines = [{"step": 0, "eval/elbo": -60.0, "eval/likelihood": -59.0, "eval/bits_per_dim": 3.5}]
    for step in (10, 20, 30, 40):
        bits = 3.0 - step / 50
        line = {"train/bits_per_dim": bits, "train/grad_norm": 9.0, "train/steps_per_second": 2.5}
        lines.append({"step": step, **line})
    for step, bits in ((20, 2.75), (40, 2.25)):
        lines.append({"step": step, "eval/bits_per_dim": bits})
    return lines


def write(folder, *, config=CONFIG, evaluated=None, lines=None):
    """Writes the folder of a finished run and returns it.

    Args:
      folder: made where needed.
      config: config.json; None: without.
      evaluated: eval.json; None: `result()`; a text is written as it is.
      lines: of metrics.jsonl; None: `metrics()`.
    """
    for part in ("samples", "plots"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    names = ("samples/samples", "samples/step-0000020", "samples/step-0000040", "plots/loss",
             "plots/convergence-images")  # fmt: skip
    for shade, name in enumerate(names):
        Image.new("RGB", (48, 32), (40 * shade, 90, 120)).save(folder / f"{name}.png")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    content = result() if evaluated is None else evaluated
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "eval.json").write_text(text)
    every = metrics() if lines is None else lines
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in every))
    return folder
