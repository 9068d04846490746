"""Writes the pictures of one checkpoint: samples, reconstructions, codes, and the loss curve."""

import math
import pathlib
import sys

import numpy as np

from vdp import config as configs
from vdp import hierarchy, latent_space, parallel, score
from vdp.data import load as data_load
from vdp.errors import UserError
from vdp.evals import likelihood, pictures
from vdp.report import METRICS_FILE, read_metrics
from vdp.run import Run, restore, sampler_options

NUM_RECONSTRUCTIONS = 48
TRAJECTORIES, TRAJECTORY_STEPS = 8, 12


def folder_of(workdir: pathlib.Path, config) -> pathlib.Path:
    """samples/, or samples/other-<hash> where `sample` or `data` is not the run's own."""
    changed = configs.changed_from_run(workdir, config, only=("data", "sample"))
    return workdir / "samples" / (configs.other_name(changed) if changed else "")


def write_samples(run: Run, folder: pathlib.Path, *, name: str = "samples") -> pathlib.Path:
    """Writes a square grid of `sample.num` samples (likelihood means)."""
    config = run.config.sample
    images = run.sample(config.num, seed=config.seed, **sampler_options(config))
    path = folder / f"{name}.png"
    if parallel.is_writer():
        pictures.save_grid(path, images, math.isqrt(max(config.num - 1, 0)) + 1)
    return path


def write_reconstructions(run: Run, folder: pathlib.Path, images: np.ndarray) -> pathlib.Path:
    """Writes images, uint8 as the encoder sees them, above their reconstructions."""
    images = images[:NUM_RECONSTRUCTIONS]
    reconstructions = run.reconstruct(images)
    path = folder / "reconstructions.png"
    if parallel.is_writer():
        originals = images.astype(np.float32) / (run.facts.input_levels - 1)
        pictures.save_reconstructions(path, originals, reconstructions)
    return path


def write_denoising(run: Run, folder: pathlib.Path) -> pathlib.Path:
    """Writes what the diffusion prior believes at steps of its sampler, decoded, noise to clean."""
    options = sampler_options(run.config.sample)
    options.pop("z_temperature", None)  # what is drawn under u is not shown
    denoised = run.denoising(TRAJECTORIES, seed=run.config.sample.seed, **options)
    steps = denoised.shape[1]
    chosen = np.unique(np.linspace(0, steps - 1, min(TRAJECTORY_STEPS, steps)).round().astype(int))
    believed = denoised[:, chosen].reshape(-1, *denoised.shape[2:])
    decoded = run.show(believed)
    path = folder / "denoising.png"
    if parallel.is_writer():
        pictures.save_grid(path, decoded, len(chosen))
    return path


def write_curves(run: Run, workdir: pathlib.Path) -> pathlib.Path:
    """Writes plots/loss.png from metrics.jsonl."""
    path = workdir / "plots" / "loss.png"
    if parallel.is_writer():
        shown = score.of(run.model)
        scale, unit = -shown.sign, shown.unit
        if run.model.discrete:
            scale, unit = likelihood.bits_per_dim(1.0, run.facts.shape), "bits/dim"
        label, metrics = f"{shown.label}, {unit}", read_metrics(workdir / METRICS_FILE)
        pictures.save_curves(path, metrics, name=shown.name, label=label, scale=scale)
    return path


def write_all(run: Run, folder: pathlib.Path, dataset: data_load.Dataset) -> list[pathlib.Path]:
    """Writes every picture that the model can draw; test images where images are needed."""
    split = dataset.splits["test"].take(slice(latent_space.NUM_CODES))
    _, inputs = data_load.fixed_images(split, run.facts, run.config.data)
    written = _write_from_noise(run, folder)
    if hasattr(run.model, "reconstruct"):
        written.append(write_reconstructions(run, folder, inputs))
    if hasattr(run.model, "scales"):
        written.append(folder / "levels.png")
        hierarchy.write_levels(run, written[-1], inputs)
    if hasattr(run.model, "decode_mean"):
        written += latent_space.write_all(run, folder, inputs, split.labels)
    return written


def _write_from_noise(run: Run, folder: pathlib.Path) -> list[pathlib.Path]:
    written = []
    if hasattr(run.model, "sample"):
        written.append(write_samples(run, folder))
    over_code = getattr(run.model, "over_code", None)  # None: no hierarchy
    if hasattr(getattr(run.model, "prior", None), "denoising") and over_code is not False:
        written.append(write_denoising(run, folder))
    if over_code:
        written.append(folder / "pseudoinputs.png")
        hierarchy.write_pseudoinputs(run, written[-1])
    return written


def run_mode(config, workdir: pathlib.Path) -> None:
    """`--mode=sample`: draws from `sample.checkpoint`, and what needs images where data is."""
    if config.sample.num < 1:
        raise UserError(f"config.sample.num must be at least 1, not {config.sample.num}")
    run = restore(config, workdir, config.sample.checkpoint)
    folder = folder_of(workdir, config)
    try:
        dataset = data_load.load(config.data)
    except UserError as error:
        print(f"no pictures of test images: {error}", file=sys.stderr)
        written = _write_from_noise(run, folder)
    else:
        written = write_all(run, folder, dataset)
    if not written:
        raise UserError(
            f"model {config.model.name} draws pictures of images alone: name their data"
        )
    if parallel.is_writer():
        print("\n".join(map(str, written)))
