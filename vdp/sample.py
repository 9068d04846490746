"""Writes the pictures of one checkpoint: samples, reconstructions, and the loss curve."""

import math
import pathlib
import sys

import numpy as np

from vdp import parallel
from vdp.data import load as data_load
from vdp.errors import UserError
from vdp.evals import likelihood, pictures
from vdp.report import read_metrics
from vdp.run import Run, restore

NUM_RECONSTRUCTIONS = 48


def sampler_options(config) -> dict:
    """What `config.sample` asks of the prior's sampler; empty means its own."""
    fields = ("sampler", "sampler_steps", "eta")
    return {field: config[field] for field in fields if config[field]}


def write_samples(run: Run, workdir: pathlib.Path, *, name: str = "samples.png") -> pathlib.Path:
    """Writes a square grid of `sample.num` samples (likelihood means) to samples/."""
    config = run.config.sample
    images = run.sample(config.num, seed=config.seed, **sampler_options(config))
    path = workdir / "samples" / name
    if parallel.is_writer():
        pictures.save_grid(path, images, math.isqrt(max(config.num - 1, 0)) + 1)
    return path


def write_reconstructions(
    run: Run, workdir: pathlib.Path, dataset: data_load.Dataset
) -> pathlib.Path:
    """Writes test images above their reconstructions to samples/reconstructions.png."""
    split = dataset.splits["test"].take(slice(NUM_RECONSTRUCTIONS))
    target, inputs = data_load.fixed_images(split, run.facts, run.config.data)
    reconstructions = run.reconstruct(inputs)
    path = workdir / "samples" / "reconstructions.png"
    if parallel.is_writer():
        originals = target.astype(np.float32) / (run.facts.levels - 1)
        pictures.save_reconstructions(path, originals, reconstructions)
    return path


def write_curves(run: Run, workdir: pathlib.Path) -> pathlib.Path:
    """Writes plots/loss.png from metrics.jsonl."""
    path = workdir / "plots" / "loss.png"
    if parallel.is_writer():
        discrete = run.model.discrete
        scale = likelihood.bits_per_dim(1.0, run.facts.shape) if discrete else -1.0
        unit = "bits/dim" if discrete else "nats"
        pictures.save_curves(path, read_metrics(workdir / "metrics.jsonl"), unit=unit, scale=scale)
    return path


def run_mode(config, workdir: pathlib.Path) -> None:
    """`--mode=sample`: draws samples of `sample.checkpoint`, and reconstructions where data is."""
    run = restore(config, workdir, config.sample.checkpoint)
    written = [write_samples(run, workdir)]
    try:
        written.append(write_reconstructions(run, workdir, data_load.load(config.data)))
    except UserError as error:
        print(f"no reconstructions: {error}", file=sys.stderr)
    if parallel.is_writer():
        print("\n".join(map(str, written)))
