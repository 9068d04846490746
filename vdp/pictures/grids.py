"""Image grids and the latent plane; no display is needed."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.pictures import style

GAP = 0.125  # between images, of the larger side
MARGIN = 8  # pixels around a label of a grid
GRID_DPI = 100


def _rgb(images: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n 3"]:
    """Colours as they are; of any other number of channels the first, as grey."""
    return images if images.shape[-1] == 3 else images[..., :1].repeat(3, axis=-1)


def tile(images: Float[np.ndarray, "n h w c"], columns: int) -> Float[np.ndarray, "rows columns 3"]:
    """Images [N, H, W, C] in [0, 1] side by side on the ground: [rows, columns, 3] as RGB.

    The ground is `style.GROUND`, on which white, black and every grey between show. Of channels
    other than three the first is shown, as grey.
    """
    num, height, width, _ = images.shape
    rows = -(-num // columns)
    space = max(1, round(GAP * max(height, width)))
    shape = (rows * (height + space) + space, columns * (width + space) + space, 3)
    sheet = np.broadcast_to(np.asarray(style.GROUND, np.float32), shape).copy()
    for index, image in enumerate(_rgb(images)):
        row, column = divmod(index, columns)
        top, left = space + row * (height + space), space + column * (width + space)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_grid(
    path: pathlib.Path,
    images: Float[np.ndarray, "n h w c"],
    columns: int,
    *,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    formats: Sequence[str] = ("png",),
    side: int = 900,
) -> None:
    """Writes a grid of images in [0, 1], enlarged by a whole factor, pixel for pixel.

    Args:
      path: the picture.
      images: [N, H, W, C], row by row; of channels other than three the first is shown.
      columns: images in a row.
      rows: what stands to the left of each row; empty: nothing.
      heads: what stands above each column; empty: nothing.
      formats: of the files.
      side: pixels of the larger side, about, without the labels.
    """
    sheet = tile(np.asarray(images, np.float32), columns)
    factor = max(1, side // max(sheet.shape[:2]))
    pixels = np.rint(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    style.save(_labelled(pixels, columns, rows, heads), path, formats)


def _labelled(pixels: np.ndarray, columns: int, rows: Sequence[str], heads: Sequence[str]) -> Any:
    """A figure of the pixels, one for one, with names of rows and columns outside of them."""
    height, width = pixels.shape[:2]
    in_pixels = GRID_DPI / 72  # of a point
    left = 0
    if rows:
        left = round(1.05 * max(map(style.text_width, rows)) * in_pixels) + 2 * MARGIN
    above = round(style.LABEL_SIZE * in_pixels) + 2 * MARGIN if heads else 0
    whole_width, whole_height = width + left, height + above
    # a hundredth of a pixel more, for the size is cut to whole ones
    figure = style.figure(
        (whole_width + 0.01) / GRID_DPI, (whole_height + 0.01) / GRID_DPI, dpi=GRID_DPI
    )
    figure.set_layout_engine("none")
    place = (left / whole_width, 0, width / whole_width, height / whole_height)
    axes = figure.add_axes(place)
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    text = dict(fontsize=style.LABEL_SIZE, color="0.15")
    for index, name in enumerate(rows):
        middle = (height - (index + 0.5) * height / len(rows)) / whole_height
        figure.text((left - MARGIN) / whole_width, middle, name, ha="right", va="center", **text)
    for index, name in enumerate(heads):
        middle = (left + (index + 0.5) * width / columns) / whole_width
        base = (height + MARGIN) / whole_height
        figure.text(middle, base, name, ha="center", va="bottom", **text)
    return figure


def save_reconstructions(
    path: pathlib.Path,
    originals: Float[np.ndarray, "n h w c"],
    reconstructions: Float[np.ndarray, "n h w c"],
    *,
    columns: int = 12,
    formats: Sequence[str] = ("png",),
) -> None:
    """Writes each row of originals above the row of their reconstructions.

    Args:
      path: the picture.
      originals: [N, H, W, C] in [0, 1].
      reconstructions: of these, likewise.
      columns: images in a row.
      formats: of the files.
    """
    columns = min(columns, len(originals))
    blank = np.broadcast_to(np.asarray(style.GROUND, np.float32), (*originals.shape[1:3], 3))
    sheet: list[np.ndarray] = []
    starts = range(0, len(originals), columns)
    for start in starts:
        for images in (originals, reconstructions):
            row = list(_rgb(np.asarray(images[start : start + columns], np.float32)))
            sheet += row + [blank] * (columns - len(row))
    rows = ["image", "mean"] * len(starts)
    save_grid(path, np.stack(sheet), columns, rows=rows, formats=formats)


def save_plane(
    path: pathlib.Path,
    images: Float[np.ndarray, "rows columns h w c"],
    first: Float[np.ndarray, "columns"],
    second: Float[np.ndarray, "rows"],
    *,
    formats: Sequence[str] = ("png",),
) -> None:
    """Writes images at the points of a grid of two latents, with their values on the axes.

    Args:
      path: the picture.
      images: in [0, 1], [len(second), len(first), H, W, C], equally spaced.
      first: values of z_1, left to right, increasing.
      second: values of z_2, from the bottom upwards, increasing.
      formats: of the files.
    """
    num_rows, num_columns, height, width, _ = images.shape
    space = max(1, round(GAP * max(height, width)))
    before = space // 2
    shape = (num_rows, num_columns, height + space, width + space, 3)
    cells = np.broadcast_to(np.asarray(style.GROUND, np.float32), shape).copy()
    cells[:, :, before : before + height, before : before + width] = _rgb(images)[::-1]
    sheet = cells.transpose(0, 2, 1, 3, 4).reshape(num_rows * shape[2], num_columns * shape[3], 3)
    ends = []
    for values in (first, second):  # each image is centred on its point
        half = (values[-1] - values[0]) / (len(values) - 1) / 2 or 1e-3  # of a code that is one
        ends += [values[0] - half, values[-1] + half]
    figure = style.figure(7, 7 * sheet.shape[0] / sheet.shape[1])
    axes = figure.subplots()
    aspect = (ends[1] - ends[0]) / (ends[3] - ends[2]) * sheet.shape[0] / sheet.shape[1]
    axes.imshow(np.clip(sheet, 0, 1), extent=ends, aspect=aspect, interpolation="nearest")
    axes.set(xlabel="$z_1$", ylabel="$z_2$", title="The latent plane, decoded")
    style.save(figure, path, formats)
