"""Writes the pictures of one checkpoint: samples, reconstructions, codes, and the loss curve."""

import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from vdp import levels
from vdp.data import core, datasets
from vdp.evaluation import index
from vdp.metrics import likelihood, score
from vdp.pictures import charts, grids, hierarchy, latent_space, style
from vdp.record import DAMAGED, PLOTS, PREVIEW, RESULT, SAMPLES
from vdp.run import Run
from vdp.runtime import files, parallel
from vdp.runtime.metric_log import METRICS_FILE, read_metrics
from vdp.settings import Settings, compare
from vdp.training import fingerprint
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

SETTINGS_FILE = "settings.json"  # beside pictures
DECISIVE = (  # of what is drawn
    "data", "sample", "eval.reverse", "eval.num_steps", "model.prior.ode_steps",
)  # fmt: skip
NUM_RECONSTRUCTIONS = 48
TRAJECTORIES, TRAJECTORY_STEPS = 8, 12
Paths = list[pathlib.Path]


def folder_of(workdir: pathlib.Path, trained: Settings, chosen: Settings) -> pathlib.Path:
    """The folder samples/, or samples/other-<hash> where what is drawn is not as the run has it."""
    changes = _changes(trained, chosen)
    return workdir / SAMPLES / (compare.other_name(changes) if changes else "")


def _changes(trained: Settings, chosen: Settings) -> compare.Changes:
    return compare.changed(trained, chosen, only=DECISIVE)


def write_settings(run: Run[Model], folder: pathlib.Path, *, drawn: bool = True) -> None:
    """Writes settings.json beside pictures: what they are of.

    It holds the "step", null before all are `drawn`, the "weights" as eval.json has them, "num",
    "seed" and "figures" of the fields with these names and, under "settings", each field that is
    another than the run's with its value.
    """
    changes, about = _changes(run.trained, run.settings), _about(run)
    if parallel.is_writer():
        fields = {field: after for field, (_, after) in changes.items()}
        step = {"step": run.step if drawn else None}
        files.write_json(folder / SETTINGS_FILE, {**about, **step, "settings": fields})


def _about(run: Run[Model]) -> dict[str, Any]:
    """What pictures are of, but for the settings in which they differ from their run's."""
    chosen = run.settings
    return {
        "step": run.step,
        "weights": fingerprint.digest(run.params),
        "num": chosen.sample.num,
        "seed": chosen.sample.seed,
        "figures": list(chosen.log.figures),
    }


def are_there(run: Run[Model], folder: pathlib.Path) -> bool:
    """Whether a folder has pictures of the run's checkpoint as it draws them now.

    Those of its training do not count. Beside pictures of version 0.1 there is no settings.json, or
    one without some of its entries: they are taken to be.
    """
    about = _about(run)
    if not folder.is_dir():
        return False
    drawn = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(PREVIEW)]
    try:
        there = files.read_json(folder / SETTINGS_FILE, SETTINGS_FILE)
        same = all(there.get(name, value) == value for name, value in about.items())
    except DAMAGED:  # or none
        same = True
    return bool(drawn) and same


def write_samples(run: Run[Generative], folder: pathlib.Path, *, name: str = "samples") -> Paths:
    """Writes a square grid of `sample.num` samples (likelihood means)."""
    chosen = run.settings.sample
    images = run.sample(chosen.num, seed=chosen.seed, **chosen.options())
    path, formats = folder / f"{name}.png", run.settings.log.figures
    if parallel.is_writer():
        columns = math.isqrt(max(chosen.num - 1, 0)) + 1
        grids.save_grid(path, images, columns, formats=formats)
    return style.paths(path, formats)


def write_denoising(run: Run[OverPrior], folder: pathlib.Path) -> Paths:
    """Writes what the diffusion prior believes at steps of its sampler, decoded, noise to clean.

    A row is one sample; the number of the step stands above each column. The prior of a hierarchy
    is over pseudo-inputs, and then rows are named so: what they show is no image of the model.
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
    path, formats = folder / "denoising.png", run.settings.log.figures
    if parallel.is_writer():
        heads = [f"step {number}" for number in chosen + 1]
        rows = ["pseudo-input"] * len(denoised) if isinstance(run.model, Hierarchical) else []
        grids.save_grid(path, decoded, len(chosen), rows=rows, heads=heads, formats=formats)
    return style.paths(path, formats)


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
    path, formats = folder / "reconstructions.png", run.settings.log.figures
    if parallel.is_writer():
        originals = levels.to_unit(images, run.facts.input_levels)
        grids.save_reconstructions(path, originals, reconstructions, formats=formats)
    return style.paths(path, formats)


def write_curves(run: Run[Model], workdir: pathlib.Path) -> pathlib.Path:
    """Writes plots/loss.png from metrics.jsonl."""
    path = workdir / PLOTS / "loss.png"
    if parallel.is_writer():
        shown, metrics = score.score_of(run.model), read_metrics(workdir / METRICS_FILE)
        scale, unit = -shown.sign, shown.unit
        if isinstance(run.model, Probabilistic) and run.model.discrete:
            scale, unit = likelihood.bits_per_dim(1.0, run.facts.shape), "bits/dim"
        name, label = score.series_name(shown, metrics), f"{shown.label}, {unit}"
        formats = run.settings.log.figures
        charts.save_curves(path, metrics, name=name, label=label, scale=scale, formats=formats)
    return path


def write_latent_bars(
    run: Run[Model], workdir: pathlib.Path, result: Mapping[str, Any], suffix: str = ""
) -> Paths:
    """Writes plots/latents.png of what an eval.json says of two latents or more, else nothing.

    `suffix` ends the name where the result is another one than that of eval.json.
    """
    table, path = result.get("latents") or [], workdir / PLOTS / f"latents{suffix}.png"
    if not result.get("rates") or len(table) < 2:
        return []
    if parallel.is_writer():
        charts.save_latent_bars(path, table, formats=run.settings.log.figures)
    return style.paths(path, run.settings.log.figures)


def write_plots(run: Run[Model], workdir: pathlib.Path) -> Paths:
    """Writes the plots of a run again, from its metrics.jsonl and eval.json where these exist.

    Args:
      run: of its training's settings, but for `log.figures`.
      workdir: of the run.
    """
    if not (workdir / METRICS_FILE).exists():
        return []
    written = style.paths(write_curves(run, workdir), run.settings.log.figures)
    return written + write_latent_bars(run, workdir, index.read(workdir / RESULT) or {})


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
    test = dataset.splits["test"]
    split = test.take(core.spread(len(test), latent_space.NUM_CODES))
    _, images = datasets.fixed_images(split, run.facts, run.settings.data)
    able = [write for capability, write in FROM_IMAGES if isinstance(run.model, capability)]
    written = write_from_noise(run, folder)
    return written + [path for write in able for path in write(run, folder, images, split.labels)]
