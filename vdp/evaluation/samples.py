"""Samples of a run: drawn and timed, and compared with images by distances of their features."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation.resume import Rows
from vdp.levels import from_unit
from vdp.metrics import fid, kid, manifold
from vdp.run import Run
from vdp.runtime import parallel
from vdp.runtime.progress import Progress
from vdp.types import DiffusionLike, Model

CHUNK = 1000  # samples that are timed together at the most
SUBSETS = 10  # of the images that are judged beside samples, at most
COMPARED = 10_000  # features of either set, at most, whose distances are taken one by one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """Samples as levels of the data, in the order they were drawn, and the time they took.

    Attributes:
      images: uint8 [N, H, W, C].
      num: how many were drawn at once, in whole batches of `eval.batch_size`.
      seconds: the median of drawing `num`; None where one draw was all, which compiles.
    """

    images: UInt8[np.ndarray, "n h w c"]
    num: int
    seconds: float | None


def draw(run: Run[Model], kept: Rows) -> Drawn:
    """Draws `eval.fid_samples` images; a process's first draw, which compiles, is not timed.

    Args:
      run: the checkpoint, of a `Generative` model.
      kept: the samples that are drawn already.
    """
    chosen, options = run.settings.eval, run.settings.sample.options()
    levels = run.facts.info.levels
    chunk = min(CHUNK, max(chosen.fid_samples // 4, 1))
    drawn = [rows] if (rows := kept.read()) else []
    first = len(rows["images"]) // chunk if rows else 0
    with Progress("samples for FID", chosen.fid_samples, enabled=parallel.is_writer()) as progress:
        for index in range(first, -(-chosen.fid_samples // chunk)):
            start = time.perf_counter()
            key = jax.random.fold_in(jax.random.key(chosen.seed), index)  # no chunk of another seed
            images = run.sample(chunk, seed=key, **options)
            if not np.isfinite(images).all():
                raise UserError(
                    "the model draws pixels that are not finite: leave fid out of "
                    "eval.estimators, or evaluate another checkpoint (eval.checkpoint=STEP)"
                )
            spent = time.perf_counter() - start
            timed = np.full(chunk, np.nan if index == first else spent)
            drawn.append({"images": from_unit(images, levels), "seconds": timed})
            kept.add(drawn[-1])
            progress.update(min((index + 1) * chunk, chosen.fid_samples), f"{spent:.1f} s")
    samples = np.concatenate([part["images"] for part in drawn])[: chosen.fid_samples]
    seconds = np.concatenate([part["seconds"] for part in drawn])[::chunk]
    seconds = seconds[np.isfinite(seconds)]
    median = float(np.median(seconds)) if len(seconds) else None
    batches = -(-chunk // chosen.batch_size)
    return Drawn(images=samples, num=batches * chosen.batch_size, seconds=median)


def judged(
    run: Run[Model],
    dataset: datasets.Dataset,
    features: fid.Features,
    drawn: Drawn,
    samples: Float[np.ndarray, "n d"],
) -> dict[str, Any]:
    """Compares samples of a run with the images of `eval.fid_reference`.

    Args:
      run: whose samples they are.
      dataset: the data of `run.settings.data`.
      features: of `vdp.evaluation.features`.
      drawn: of `draw`.
      samples: features of what is drawn.

    Returns:
      What eval.json holds under "fid", "kid", "manifold" and "sampling". "real" is the same number
      of the evaluated split itself: what a perfect model would get; None where that is the
      reference. It is of as many images as there are samples, for FID falls with them: a mean over
      "real_subsets" disjoint ones; of fewer where the split has no more, and then
      "value_of_num_real" is the FID of as many samples. The four of the manifold, which change with
      the number too, have the first of these sets beside them, and KID, which does not, all images.
      Both are of at most 10,000 reference images.
    """
    chosen, options = run.settings.eval, run.settings.sample.options()
    reference = dataset.splits[chosen.fid_reference].images
    expected = fid.cached_statistics(features, reference)
    distance = lambda found: fid.frechet_distance(fid.statistics(found), expected)
    images = dataset.splits[chosen.split].images
    is_other = chosen.split != chosen.fid_reference  # else its images are on both sides
    real = features.apply(images) if is_other and len(images) > 1 else None
    parts = _as_many(real, len(samples), chosen.seed) if real is not None else []
    first = parts[0] if parts else None
    num_real = len(images) if first is None else len(first)
    fewer = first is not None and num_real < len(samples)
    order = np.random.default_rng(chosen.seed).permutation(len(reference))[:COMPARED]
    some = features.apply(reference[np.sort(order)])
    result = {
        "value": distance(samples),
        "num_samples": len(samples),
        "reference": chosen.fid_reference,
        "num_reference": expected.num,
        "real": float(np.mean([distance(part) for part in parts])) if parts else None,
        "real_split": chosen.split,
        "num_real": num_real,
        "real_subsets": len(parts),
        "value_of_num_real": distance(samples[:num_real]) if fewer else None,
        "features": features.name,
        "rounding": f"likelihood means to {run.facts.info.levels} levels",
        "sampler": options or "the prior's own",
        **_chain(run.model, options),
    }
    return {
        "fid": result,
        "kid": _beside(kid.kernel_distance, some, samples, real, chosen.seed),
        "manifold": _beside(manifold.manifold, some, samples, first, chosen.seed),
        "sampling": {"num": drawn.num, "seconds": drawn.seconds},
    }


def _as_many(
    features: Float[np.ndarray, "n d"], num: int, seed: int
) -> list[Float[np.ndarray, "_ d"]]:
    """Disjoint sets of `num` features, SUBSETS at most; of fewer features than that, all in one."""
    order = np.random.default_rng(seed).permutation(len(features))
    subsets = min(max(len(features) // num, 1), SUBSETS)
    return [features[order[start * num : (start + 1) * num]] for start in range(subsets)]


def _chain(model: Model, options: Mapping[str, Any]) -> dict[str, str]:
    """The chain of steps whose model the samples are of.

    {} of other priors and samplers, and where clipping, a temperature or the like make them another
    model's, which no bound is of.
    """
    others = options.keys() - {"sampler", "sampler_steps"}
    chain = getattr(model, "weight_model", "exact")
    if others or chain == "exact" or options.get("sampler", "ancestral") != "ancestral":
        return {}
    prior = getattr(model, "prior", None)
    if (steps := options.get("sampler_steps")) and isinstance(prior, DiffusionLike):
        chain = prior.discretized(steps).weight_model
    return {"chain": chain}


def _beside(
    measure: Callable[..., Any],
    reference: Float[np.ndarray, "m d"],
    samples: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "k d"] | None,
    seed: int,
) -> dict[str, Any] | None:
    """What needs distances between single features, with that of images under "real"."""
    entry = measure(reference, samples, seed=seed)
    perfect = measure(reference, real, seed=seed) if real is not None else None
    return {**entry, "real": perfect} if entry else None
