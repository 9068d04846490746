"""Writes the pictures of one checkpoint: samples, reconstructions, codes, and the loss curve."""

import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from vdp import levels
from vdp.data import datasets
from vdp.metrics import likelihood, score
from vdp.pictures import grids, hierarchy, latent_space
from vdp.run import Run
from vdp.runtime import parallel
from vdp.runtime.metric_log import METRICS_FILE, read_metrics
from vdp.settings import Settings, compare
from vdp.types import (
    DiffusionLike,
    Generative,
    Hierarchical,
    Latent,
    Model,
    OverPrior,
    Probabilistic,
    Reconstructing,
)

NUM_RECONSTRUCTIONS = 48
TRAJECTORIES, TRAJECTORY_STEPS = 8, 12
Paths = list[pathlib.Path]


def folder_of(workdir: pathlib.Path, trained: Settings, chosen: Settings) -> pathlib.Path:
    """The folder samples/, or samples/other-<hash> where `sample` or `data` is not the run's."""
    changed = compare.changed(trained, chosen, only=("data", "sample"))
    return workdir / "samples" / (compare.other_name(changed) if changed else "")


def write_samples(run: Run[Generative], folder: pathlib.Path, *, name: str = "samples") -> Paths:
    """Writes a square grid of `sample.num` samples (likelihood means)."""
    chosen = run.settings.sample
    images = run.sample(chosen.num, seed=chosen.seed, **chosen.options())
    path = folder / f"{name}.png"
    if parallel.is_writer():
        grids.save_grid(path, images, math.isqrt(max(chosen.num - 1, 0)) + 1)
    return [path]


def write_denoising(run: Run[OverPrior], folder: pathlib.Path) -> Paths:
    """Writes what the diffusion prior believes at steps of its sampler, decoded, noise to clean.

    Nothing is written where there is no such prior, or nothing of it can be looked at.
    """
    if not (isinstance(run.model.prior, DiffusionLike) and run.model.shows_prior):
        return []
    options = run.settings.sample.options()
    options.pop("z_temperature", None)  # what is drawn under u is not shown
    denoised = run.denoising(TRAJECTORIES, seed=run.settings.sample.seed, **options)
    steps = denoised.shape[1]
    chosen = np.unique(np.linspace(0, steps - 1, min(TRAJECTORY_STEPS, steps)).round().astype(int))
    believed = denoised[:, chosen].reshape(-1, *denoised.shape[2:])
    decoded = run.show(believed)
    path = folder / "denoising.png"
    if parallel.is_writer():
        grids.save_grid(path, decoded, len(chosen))
    return [path]


def write_reconstructions(
    run: Run[Reconstructing],
    folder: pathlib.Path,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int32[np.ndarray, "n"],
) -> Paths:
    """Writes images above their reconstructions.

    Args:
      run: of a `Reconstructing` model.
      folder: for reconstructions.png.
      images: as the encoder sees them, uint8 [N, H, W, C]; NUM_RECONSTRUCTIONS at most are used.
      labels: not looked at.
    """
    images = images[:NUM_RECONSTRUCTIONS]
    reconstructions = run.reconstruct(images)
    path = folder / "reconstructions.png"
    if parallel.is_writer():
        originals = levels.to_unit(images, run.facts.input_levels)
        grids.save_reconstructions(path, originals, reconstructions)
    return [path]


def write_curves(run: Run[Model], workdir: pathlib.Path) -> pathlib.Path:
    """Writes plots/loss.png from metrics.jsonl."""
    path = workdir / "plots" / "loss.png"
    if parallel.is_writer():
        shown, metrics = score.score_of(run.model), read_metrics(workdir / METRICS_FILE)
        scale, unit = -shown.sign, shown.unit
        if isinstance(run.model, Probabilistic) and run.model.discrete:
            scale, unit = likelihood.bits_per_dim(1.0, run.facts.shape), "bits/dim"
        name, label = score.series_name(shown, metrics), f"{shown.label}, {unit}"
        grids.save_curves(path, metrics, name=name, label=label, scale=scale)
    return path


# each is called for the models that have its capability alone
FROM_NOISE: tuple[tuple[type, Callable[[Run[Any], pathlib.Path], Paths]], ...] = (
    (Generative, write_samples),
    (OverPrior, write_denoising),
    (Hierarchical, hierarchy.write_pseudoinputs),
)
FROM_IMAGES: tuple[
    tuple[type, Callable[[Run[Any], pathlib.Path, np.ndarray, np.ndarray], Paths]], ...
] = (
    (Reconstructing, write_reconstructions),
    (Hierarchical, hierarchy.write_levels),
    (Latent, latent_space.write_all),
)


def write_from_noise(run: Run[Model], folder: pathlib.Path) -> Paths:
    """Writes every picture of the model that needs no images; returns where they are."""
    able = [write for capability, write in FROM_NOISE if isinstance(run.model, capability)]
    return [path for write in able for path in write(run, folder)]


def write_all(run: Run[Model], folder: pathlib.Path, dataset: datasets.Dataset) -> Paths:
    """Writes every picture that the model can draw; test images where images are needed."""
    split = dataset.splits["test"].take(slice(latent_space.NUM_CODES))
    _, images = datasets.fixed_images(split, run.facts, run.settings.data)
    able = [write for capability, write in FROM_IMAGES if isinstance(run.model, capability)]
    written = write_from_noise(run, folder)
    return written + [path for write in able for path in write(run, folder, images, split.labels)]
