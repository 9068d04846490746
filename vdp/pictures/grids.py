"""Image grids and curves as PNG, written by rename; no display is needed."""

import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from vdp.runtime import files, metric_log

GAP = 0.125  # between images, of the larger side


def tile(images: Float[np.ndarray, "n h w c"], columns: int) -> Float[np.ndarray, "rows columns c"]:
    """Images [N, H, W, C] in [0, 1] side by side on a mid-grey ground: [rows, columns, C]."""
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    space = max(1, round(GAP * max(height, width)))
    sheet = np.full(
        (rows * (height + space) + space, columns * (width + space) + space, channels), 0.5
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = space + row * (height + space), space + column * (width + space)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_grid(
    path: pathlib.Path, images: Float[np.ndarray, "n h w c"], columns: int, *, side: int = 900
) -> None:
    """Writes a grid of images in [0, 1], enlarged by a whole factor.

    Args:
      path: the PNG.
      images: [N, H, W, C]; of channels other than one or three the first is shown.
      columns: images in a row.
      side: pixels of the larger side, about.
    """
    from PIL import Image

    sheet = tile(np.asarray(images, np.float32), columns)
    factor = max(1, side // max(sheet.shape[:2]))
    pixels = np.rint(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    if pixels.shape[-1] not in (1, 3):
        pixels = pixels[..., :1]
    with files.replacing(path) as temporary:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(temporary)


def save_reconstructions(
    path: pathlib.Path,
    originals: Float[np.ndarray, "n h w c"],
    reconstructions: Float[np.ndarray, "n h w c"],
    *,
    columns: int = 12,
) -> None:
    """Writes each row of originals above the row of their reconstructions.

    Args:
      path: the PNG.
      originals: [N, H, W, C] in [0, 1].
      reconstructions: of these, likewise.
      columns: images in a row.
    """
    rows = []
    for start in range(0, len(originals), columns):
        rows += [originals[start : start + columns], reconstructions[start : start + columns]]
    save_grid(path, np.concatenate(rows), min(columns, len(originals)))


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def save_latents(
    path: pathlib.Path,
    posterior: Float[np.ndarray, "n d"],
    prior: Float[np.ndarray, "m d"] | None,
    labels: Integer[np.ndarray, "n"],
) -> None:
    """Writes draws of the aggregate posterior, coloured by label, beside draws of the prior.

    Args:
      path: the PNG.
      posterior: one draw of q(z|x), or the code, of each of N images, [N, D].
      prior: [M, D], or None where there is none; more than two dimensions are projected on the two
        in which the posterior, or of one image the prior, varies most (principal components), one
        is drawn against noise.
      labels: [N], -1 where there is none.
    """
    clouds = [np.asarray(z, np.float64) for z in (posterior, prior) if z is not None]
    dims, names = clouds[0].shape[1], ("$z_1$", "$z_2$")
    if dims == 1:
        jitter = np.random.default_rng(0).normal(size=(max(map(len, clouds)), 1))
        clouds = [np.hstack([z, jitter[: len(z)]]) for z in clouds]
        names = ("$z_1$", "jitter")
    elif dims > 2:
        # of one image any directions will do
        spread = next((z for z in clouds if len(z) > 1), np.eye(2, dims))
        centre = spread.mean(0)
        _, _, axes = np.linalg.svd(spread - centre, full_matrices=False)
        clouds = [(z - centre) @ axes[:2].T for z in clouds]
        names = ("first principal component", "second")
    figure = _figure(4.5 * len(clouds) + 0.6 * (prior is None), 4.6)
    panels = figure.subplots(1, len(clouds), sharex=True, sharey=True, squeeze=False)[0]
    known = labels.min() >= 0
    dots = dict(s=6, alpha=0.6, linewidths=0)
    shown = panels[0].scatter(
        *clouds[0].T, c=labels if known else "tab:blue", cmap="tab10" if known else None, **dots
    )
    what = "codes of" if prior is None else "aggregate posterior,"
    panels[0].set(title=f"{what} {len(posterior)} images", ylabel=names[1])
    if prior is not None:
        panels[1].scatter(*clouds[1].T, color="0.25", **dots)
        panels[1].set(title=f"prior, {len(prior)} draws")
    for axes in panels:
        axes.set(xlabel=names[0])
        _bare(axes)
    low, high = np.percentile(np.concatenate(clouds), [0.5, 99.5], axis=0)
    margin = np.where(high > low, 0.15 * (high - low), 1.0)
    panels[0].set(
        xlim=(low[0] - margin[0], high[0] + margin[0]),
        ylim=(low[1] - margin[1], high[1] + margin[1]),
    )
    if known and labels.max() < 20:
        figure.colorbar(shown, ax=panels[0], label="label", ticks=np.unique(labels))
    with files.replacing(path) as temporary:
        figure.savefig(temporary)


def save_plane(
    path: pathlib.Path,
    images: Float[np.ndarray, "rows columns h w c"],
    first: Float[np.ndarray, "columns"],
    second: Float[np.ndarray, "rows"],
) -> None:
    """Writes images at the points of a grid of two latents, with their values on the axes.

    Args:
      path: the PNG.
      images: in [0, 1], [len(second), len(first), H, W, C], equally spaced.
      first: values of z_1, left to right, increasing.
      second: values of z_2, from the bottom upwards, increasing.
    """
    space = max(1, round(GAP * max(images.shape[2:4])))
    around = (space // 2, space - space // 2)
    cells = np.pad(images[::-1], [(0, 0), (0, 0), around, around, (0, 0)], constant_values=0.5)
    rows, columns, height, width, channels = cells.shape
    sheet = cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    ends = []
    for values in (first, second):  # each image is centred on its point
        half = (values[-1] - values[0]) / (len(values) - 1) / 2
        ends += [values[0] - half, values[-1] + half]
    figure = _figure(7, 7 * rows * height / (columns * width))
    axes = figure.subplots()
    kind = dict(cmap="gray", vmin=0, vmax=1) if channels == 1 else {}
    sheet = sheet[..., 0] if channels == 1 else sheet[..., :3]
    aspect = (ends[1] - ends[0]) / (ends[3] - ends[2]) * sheet.shape[0] / sheet.shape[1]
    axes.imshow(sheet, extent=ends, aspect=aspect, interpolation="nearest", **kind)
    axes.set(xlabel="$z_1$", ylabel="$z_2$", title="The latent plane, decoded")
    with files.replacing(path) as temporary:
        figure.savefig(temporary)


def save_curves(
    path: pathlib.Path, metrics: list[dict], *, name: str, label: str, scale: float
) -> None:
    """Writes what training and validation reached over steps, above the gradient's norm.

    Args:
      path: the PNG.
      metrics: lines of metrics.jsonl.
      name: of the metric, e.g. "elbo".
      label: of the vertical axis, e.g. "negative bound, bits/dim".
      scale: factor from the metric to what the label says.
    """
    norms = metric_log.series(metrics, "train/grad_norm")
    figure = _figure(8, 6.5 if norms else 4.5)
    if norms:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        below.plot(*zip(*norms, strict=True), lw=1)
        below.set(xlabel="step", ylabel="gradient norm", yscale="log")
        below.grid(alpha=0.25)
        _bare(below)
    else:
        axes = figure.subplots()
        axes.set(xlabel="step")
    shown = []
    for split, weights, style in (
        ("train", "training (current weights, one draw an image)", dict(alpha=0.55, lw=1)),
        ("eval", "validation (EMA weights)", dict(lw=2, marker="o", ms=3)),
    ):
        key = f"{split}/{name}"
        points = [(step, value * scale) for step, value in metric_log.series(metrics, key)]
        if points:
            axes.plot(*zip(*points, strict=True), label=weights, **style)
            shown += [value for _, value in points]
    if shown:
        low, high = np.percentile(shown, [0, 90])
        margin = 0.08 * max(high - low, 1e-6)
        axes.set_ylim(low - margin, high + 4 * margin)
        axes.legend(frameon=False)
    axes.set(ylabel=label, title="Training")
    axes.grid(alpha=0.25)
    _bare(axes)
    with files.replacing(path) as temporary:
        figure.savefig(temporary)


def save_latent_bars(path: pathlib.Path, table: list[dict]) -> None:
    """Writes rate and share of active units of every latent, top first.

    Args:
      path: the PNG.
      table: `latents` of eval.json.
    """
    names = [
        row["name"].replace("_", "$_{") + ("}$" if "_" in row["name"] else "") for row in table
    ]
    figure = _figure(max(5, 1.5 + 0.35 * len(table)), 5)
    above, below = figure.subplots(2, 1, sharex=True)
    above.bar(names, [row["rate"] for row in table], color="tab:blue")
    above.set(ylabel="rate, nats", title="What each latent carries, from the top")
    active = [
        100 * row["active"] / row["units"] if row["active"] is not None else 0 for row in table
    ]
    below.bar(names, active, color="tab:green")
    for place, row in enumerate(table):
        if row["active"] is None:
            below.text(place, 3, "not counted", rotation=90, ha="center", va="bottom", fontsize=8)
    below.set(ylabel="active units, %", ylim=(0, 105))
    for axes in (above, below):
        axes.grid(alpha=0.25, axis="y")
        axes.set_axisbelow(True)
        _bare(axes)
    with files.replacing(path) as temporary:
        figure.savefig(temporary)
