"""`synthetic:HxWxC[xLEVELS]`: images from a mixture whose density is known exactly.

p(x) = 1/K sum_k prod_pixels DiscretisedLogistic(x; template_k, SCALE): K smooth templates fixed by
the shape alone. For smoke runs, and for tests: no valid bound exceeds `log_prob` on average.
"""

import math

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.special import expit, logsumexp

from vdp.data.core import Info, Request, Split, Splits
from vdp.errors import UserError

COMPONENTS = 10
SCALE = 0.15  # of the logistic noise, on images scaled to [-1, 1]
COUNTS = {"train": 2048, "test": 512}


def info(arg: str, request: Request | None = None) -> Info:
    """Whatever the argument says; 256 levels by default."""
    parts = arg.split("x")
    if len(parts) not in (3, 4) or not all(part.isdigit() and int(part) for part in parts):
        raise UserError(f"synthetic data is named synthetic:HxWxC or HxWxCxLEVELS, not {arg!r}")
    height, width, channels, levels = (*map(int, parts), 256)[:4]
    if not 2 <= levels <= 256:
        raise UserError(f"synthetic images have 2 to 256 levels, not {levels}")
    return Info(
        name="synthetic",
        shape=(height, width, channels),
        levels=levels,
        num_classes=COMPONENTS,
        counts=COUNTS,
    )


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Draws the splits from fixed seeds."""
    facts = info(arg)
    splits = {}
    for seed, (name, count) in enumerate(COUNTS.items(), start=1):
        rng = np.random.default_rng(seed)
        labels = rng.integers(COMPONENTS, size=count)
        noise = rng.logistic(scale=SCALE, size=(count, *facts.shape))
        x = (templates(facts.shape)[labels] + noise + 1) / 2 * (facts.levels - 1)
        images = np.clip(np.floor(x + 0.5), 0, facts.levels - 1).astype(np.uint8)
        splits[name] = Split.of(images, labels)
    return facts, splits


def templates(shape: tuple[int, int, int]) -> Float64[np.ndarray, "k h w c"]:
    """K smooth random images in (-1, 1): [K, H, W, C]."""
    rng = np.random.default_rng(0)
    height, width, channels = shape
    rows = np.linspace(0, math.pi, height)[:, None, None]
    columns = np.linspace(0, math.pi, width)[None, :, None]
    total = np.zeros((COMPONENTS, *shape))
    for i in range(4):
        for j in range(4):
            weights = rng.normal(size=(COMPONENTS, 1, 1, channels))
            total += weights * np.cos(i * rows) * np.cos(j * columns)
    return np.tanh(total)


def log_prob(images: UInt8[np.ndarray, "n h w c"], levels: int) -> Float64[np.ndarray, "n"]:
    """The exact log-probability in nats of uint8 images [N, H, W, C]: [N]."""
    half = 1 / (levels - 1)
    x = 2 * half * images[:, None].astype(np.float64) - 1
    centred = x - templates(images.shape[1:])[None]
    above = np.where(images[:, None] == levels - 1, 1.0, expit((centred + half) / SCALE))
    below = np.where(images[:, None] == 0, 0.0, expit((centred - half) / SCALE))
    log_mass = np.log(above - below).reshape(len(images), COMPONENTS, -1).sum(-1)
    return logsumexp(log_mass, axis=1) - math.log(COMPONENTS)
