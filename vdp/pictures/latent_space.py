"""Codes and what is decoded from them: lines, squares, the plane, and where images lie."""

import pathlib

import jax
import numpy as np
from jaxtyping import Int32, UInt8

from vdp import draws
from vdp.evaluation import interpolation
from vdp.metrics import smoothness
from vdp.pictures import clouds, grids, style
from vdp.run import Run
from vdp.runtime import parallel
from vdp.types import Latent, LatentGenerative

LINES, LINE_POINTS = 8, 10
SQUARE_SIDE = 10
PLANE_SIDE, PLANE_PERCENTILES = 20, (1, 99)
NUM_CODES = 2000
Images = UInt8[np.ndarray, "n h w c"]  # as the encoder sees them


def write_interpolations(run: Run[Latent], path: pathlib.Path, images: Images) -> None:
    """Writes decoded straight lines between the codes (posterior means) of pairs of images."""
    codes = run.encode(images[interpolation.pairs(len(images), LINES)]).mean
    lines = interpolation.lines(run, codes, LINE_POINTS)
    if parallel.is_writer():
        heads = shares(LINE_POINTS)
        formats = run.settings.log.figures
        grids.save_grid(path, np.concatenate(lines), LINE_POINTS, heads=heads, formats=formats)


def shares(num: int) -> list[str]:
    """How much of the second end is in each of `num` points of a line, from 0 to 1."""
    return [f"{share:.2f}" for share in np.linspace(0, 1, num)]


def write_bilinear(run: Run[Latent], path: pathlib.Path, images: Images) -> None:
    """Writes what lies between the codes of four images, whose reconstructions are the corners."""
    codes = run.encode(images[:4]).mean
    left, right = smoothness.between(codes[:2], codes[2:], SQUARE_SIDE)
    square = smoothness.between(left, right, SQUARE_SIDE)  # [rows, columns, ...]
    decoded = run.decode(square.reshape(-1, *codes.shape[1:]))
    if parallel.is_writer():
        names, formats = shares(SQUARE_SIDE), run.settings.log.figures
        grids.save_grid(path, decoded, SQUARE_SIDE, rows=names, heads=names, formats=formats)


def write_plane(run: Run[Latent], path: pathlib.Path, images: Images) -> None:
    """Writes the decoded plane of two latents over the central 98 % of the images' codes."""
    codes = run.encode(images).mean
    low, high = np.percentile(codes, PLANE_PERCENTILES, axis=0)
    first, second = np.linspace(low, high, PLANE_SIDE).T
    grid = np.stack(np.meshgrid(first, second), axis=-1)  # [second, first, 2]
    decoded = run.decode(grid.reshape(-1, 2)).reshape(*grid.shape[:2], *run.facts.shape)
    if parallel.is_writer():
        grids.save_plane(path, decoded, first, second, formats=run.settings.log.figures)


def write_latents(
    run: Run[Latent], path: pathlib.Path, images: Images, labels: Int32[np.ndarray, "n"]
) -> None:
    """Writes draws of the aggregate posterior, beside draws of the prior where there is one.

    Args:
      run: of a `Latent` model.
      path: the PNG.
      images: as the encoder sees them, uint8 [N, H, W, C].
      labels: their colours, [N]; -1 where there is none.
    """
    q, chosen, prior = run.encode(images), run.settings.sample, None
    posterior = q.sample(draws.normal(jax.random.key(chosen.seed), q.mean.shape))
    if isinstance(run.model, LatentGenerative):
        prior = run.sample_latents(NUM_CODES, seed=chosen.seed, **chosen.options())
    if parallel.is_writer():
        flat = lambda z: np.asarray(z).reshape(len(z), -1)
        of_prior = None if prior is None else flat(prior)
        formats = run.settings.log.figures
        clouds.save_latents(path, flat(posterior), of_prior, labels, formats=formats)


def write_all(
    run: Run[Latent], folder: pathlib.Path, images: Images, labels: Int32[np.ndarray, "n"]
) -> list[pathlib.Path]:
    """Writes every picture that these images, uint8 as the encoder sees them, are enough for.

    Args:
      run: of a `Latent` model.
      folder: for interpolations, bilinear, plane (of two latents) and latents, in every format of
        `log.figures`.
      images: [N, H, W, C]; NUM_CODES of them at most are used.
      labels: [N], -1 where there is none.
    """
    images, labels = images[:NUM_CODES], labels[:NUM_CODES]
    writers = {"interpolations": write_interpolations} if len(images) > 1 else {}
    writers |= {"bilinear": write_bilinear} if len(images) > 3 else {}
    plane = len(images) > 1 and run.model.latent_shape == (2,)
    writers |= {"plane": write_plane} if plane else {}
    paths = {name: folder / f"{name}.png" for name in (*writers, "latents")}
    for name, write in writers.items():
        write(run, paths[name], images)
    write_latents(run, paths["latents"], images, labels)
    formats = run.settings.log.figures
    return [written for path in paths.values() for written in style.paths(path, formats)]
