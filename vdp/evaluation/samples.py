"""Samples of a run, compared with images by the Frechet distance of their features, and timed."""

import time
from typing import Any

import jax
import numpy as np

from vdp.data import datasets
from vdp.evaluation.resume import Rows
from vdp.metrics import fid
from vdp.run import Run
from vdp.runtime import parallel
from vdp.runtime.progress import Progress
from vdp.types import Model

CHUNK = 1000  # samples that are timed together at the most


def fid_and_sampling(
    run: Run[Model], dataset: datasets.Dataset, features: fid.Features, kept: Rows
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compares samples of a run with `eval.fid_reference`, and times the drawing of them.

    Args:
      run: the checkpoint, of a `Generative` model.
      dataset: the data of `run.settings.data`.
      features: of `vdp.evaluation.features`.
      kept: the samples that are drawn already.

    Returns:
      (what eval.json holds under "fid", what it holds under "sampling": the median seconds of
      drawing `num` images; a process's first draw, which compiles, is not timed). "real" is the
      distance of the evaluated split itself from the reference, with the same features: what a
      perfect model would get.
    """
    chosen, options = run.settings.eval, run.settings.sample.options()
    levels = run.facts.info.levels
    reference = dataset.splits[chosen.fid_reference].images
    chunk = min(CHUNK, max(chosen.fid_samples // 4, 1))
    drawn = [rows] if (rows := kept.read()) else []
    first = len(rows["images"]) // chunk if rows else 0
    progress = Progress("samples for FID", chosen.fid_samples, enabled=parallel.is_writer())
    for index in range(first, -(-chosen.fid_samples // chunk)):
        start = time.perf_counter()
        key = jax.random.fold_in(jax.random.key(chosen.seed), index)  # no chunk of another seed
        images = run.sample(chunk, seed=key, **options)
        spent = time.perf_counter() - start
        timed = np.full(chunk, np.nan if index == first else spent)
        drawn.append({"images": fid.to_levels(images, levels), "seconds": timed})
        kept.add(drawn[-1])
        progress.update(min((index + 1) * chunk, chosen.fid_samples), f"{spent:.1f} s")
    progress.close()
    samples = np.concatenate([part["images"] for part in drawn])[: chosen.fid_samples]
    seconds = np.concatenate([part["seconds"] for part in drawn])[::chunk]
    seconds = seconds[np.isfinite(seconds)]
    expected = fid.cached_statistics(features, reference)
    distance = lambda images: fid.frechet_distance(fid.statistics(features.apply(images)), expected)
    real = dataset.splits[chosen.split].images
    result = {
        "value": distance(samples),
        "num_samples": len(samples),
        "reference": chosen.fid_reference,
        "num_reference": expected.num,
        "real": distance(real) if len(real) > 1 else None,
        "real_split": chosen.split,
        "num_real": len(real),
        "features": features.name,
        "rounding": f"likelihood means to {levels} levels",
        "sampler": options or "the prior's own",
    }
    return result, {"num": chunk, "seconds": float(np.median(seconds)) if len(seconds) else None}
