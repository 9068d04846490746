"""Folders of finished runs whose bounds are made up."""

import json

import numpy as np

from vdp import config
from vdp.evaluation import values
from vdp.record import write_run

NUM = 50
DATA = {"name": "digits", "shape": [8, 8, 1], "levels": 17, "num_classes": 10, "counts": {}}
EMPTY = dict.fromkeys(("fid", "latents", "rates", "active_units", "interpolation", "accuracy"))
EASE = np.random.default_rng(0).normal(-30, 5, NUM)  # of the images, the same for every model


def entry(each, **more):
    nats = {"mean": float(np.mean(each)), "se": float(np.std(each, ddof=1) / len(each) ** 0.5)}
    bits = {"mean": -nats["mean"] / 44.36, "se": nats["se"] / 44.36}
    return {"nats": nats, "bits_per_dim": bits, "model": "exact", "parts": {}, **more}


def make_run(folder, *, prior="normal", seed=0, gain=0.0, keep=True, num=NUM, fields=(), **result):
    """A finished run whose bound is that of every image's ease, better by `gain` nats."""
    settings = config.settings(f"digits_vae:prior={prior}", [("seed", str(seed)), *fields])
    folder.mkdir(parents=True)
    write_run(folder, settings, {"total": 100}, DATA, hashes={})
    noise = np.random.default_rng(seed + 10).normal(0, 0.1, NUM)
    each = np.float32(EASE + gain + noise)[:num]
    images = np.arange(num, dtype=np.uint8)[:, None]
    content = {
        **EMPTY, "step": 20, "checkpoint": "best", "split": "test", "settings": {}, "mse": 0.01,
        "num_examples": num, "binarization_seed": None, "augmentation": "none",
        "train_seconds": 5.0 + seed, "estimators": {"elbo": entry(each)}, **result,
    }  # fmt: skip
    (folder / "eval.json").write_text(json.dumps(content))
    if keep:
        arrays = {values.IMAGE: values.image_hashes(images)} | values.named("elbo", each, {})
        values.write(folder / "eval.json", arrays, {})
    return folder
