"""Codes and what is decoded from them: lines, squares, the plane, and where images lie."""

import pathlib

import jax
import numpy as np

from vdp import parallel
from vdp.evals import pictures, smoothness
from vdp.run import Run, sampler_options

LINES, LINE_POINTS = 8, 10
SQUARE_SIDE = 10
PLANE_SIDE, PLANE_PERCENTILES = 20, (1, 99)
NUM_CODES = 2000
PAIRS, STEPS = 500, 16  # of eval.json's numbers
PAIRS_AT_ONCE = 50  # their images are not all kept


def interpolation(run: Run, images: np.ndarray) -> dict:
    """How smooth decoded straight lines between codes are, as eval.json has it.

    Args:
      run: of a model with `decode_mean`.
      images: uint8 as the encoder sees them; pairs are (2i, 2i + 1), PAIRS of them at most.

    Returns:
      {"steps": M, "pairs", "skipped": those that decode to one image, and every entry of
      `smoothness.measures` as {"mean", "se"} over the pairs that are left}.
    """
    pairs = min(len(images) // 2, PAIRS)
    codes = run.encode(images[: 2 * pairs]).mean
    found = []
    for first in range(0, 2 * pairs, 2 * PAIRS_AT_ONCE):
        some = codes[first : first + 2 * PAIRS_AT_ONCE]
        found.append(smoothness.measures(_lines(run, some, STEPS + 1)))
    each = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    left = len(each["path_ratio"])
    counts = {"steps": STEPS, "pairs": left, "skipped": pairs - left}
    return counts | smoothness.summary(each)


def _lines(run: Run, codes: np.ndarray, num: int) -> np.ndarray:
    """Images at `num` points between each two codes (2i, 2i + 1): [pairs, num, H, W, C]."""
    lines = smoothness.between(codes[0::2], codes[1::2], num)
    return run.decode(lines.reshape(-1, *codes.shape[1:])).reshape(-1, num, *run.facts.shape)


def write_interpolations(run: Run, path: pathlib.Path, images: np.ndarray) -> None:
    """Writes decoded straight lines between the codes (posterior means) of pairs of images."""
    codes = run.encode(images[: 2 * min(LINES, len(images) // 2)]).mean
    lines = _lines(run, codes, LINE_POINTS)
    if parallel.is_writer():
        pictures.save_grid(path, np.concatenate(lines), LINE_POINTS)


def write_bilinear(run: Run, path: pathlib.Path, images: np.ndarray) -> None:
    """Writes what lies between the codes of four images, whose reconstructions are the corners."""
    codes = run.encode(images[:4]).mean
    left, right = smoothness.between(codes[:2], codes[2:], SQUARE_SIDE)
    square = smoothness.between(left, right, SQUARE_SIDE)  # [rows, columns, ...]
    decoded = run.decode(square.reshape(-1, *codes.shape[1:]))
    if parallel.is_writer():
        pictures.save_grid(path, decoded, SQUARE_SIDE)


def write_plane(run: Run, path: pathlib.Path, images: np.ndarray) -> None:
    """Writes the decoded plane of two latents over the central 98 % of the images' codes."""
    codes = run.encode(images).mean
    ends = np.percentile(codes, PLANE_PERCENTILES, axis=0)
    first, second = np.linspace(*ends, PLANE_SIDE).T
    grid = np.stack(np.meshgrid(first, second), axis=-1)  # [second, first, 2]
    decoded = run.decode(grid.reshape(-1, 2)).reshape(*grid.shape[:2], *run.facts.shape)
    if parallel.is_writer():
        pictures.save_plane(path, decoded, first, second)


def write_latents(run: Run, path: pathlib.Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes draws of the aggregate posterior, beside draws of the prior where there is one."""
    q, config, prior = run.encode(images), run.config.sample, None
    posterior = q.sample(jax.random.normal(jax.random.key(config.seed), q.mean.shape))
    if hasattr(run.model, "sample_latents"):
        prior = run.sample_latents(NUM_CODES, seed=config.seed, **sampler_options(config))
    if parallel.is_writer():
        flat = lambda z: None if z is None else np.asarray(z).reshape(len(z), -1)
        pictures.save_latents(path, flat(posterior), flat(prior), labels)


def write_all(
    run: Run, folder: pathlib.Path, images: np.ndarray, labels: np.ndarray
) -> list[pathlib.Path]:
    """Writes every picture that these images, uint8 as the encoder sees them, are enough for.

    Args:
      run: of a model with `decode_mean`.
      folder: for interpolations.png, bilinear.png, plane.png (two latents) and latents.png.
      images: [N, H, W, C]; NUM_CODES of them at most are used.
      labels: [N], -1 where there is none.
    """
    images, labels = images[:NUM_CODES], labels[:NUM_CODES]
    writers = {"interpolations": write_interpolations} if len(images) > 1 else {}
    writers |= {"bilinear": write_bilinear} if len(images) > 3 else {}
    writers |= {"plane": write_plane} if run.model.latent_shape == (2,) else {}
    paths = {name: folder / f"{name}.png" for name in (*writers, "latents")}
    for name, write in writers.items():
        write(run, paths[name], images)
    write_latents(run, paths["latents"], images, labels)
    return list(paths.values())
