"""Scores of images of the data beside those of another data set, one panel a score."""

import hashlib
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from vdp.evaluation import ood
from vdp.pictures import style
from vdp.runtime.numbers import with_error

COLUMNS, BINS = 3, 40
ROUNDING = 1e-3  # nats or bits: scores that differ by less are one, and have one bar
CUT = 0.5  # percent of all scores at either end, which may lie far out, in the outermost bins


def file_name(name: str, result: pathlib.Path) -> str:
    """The name of the picture of a data set that stands in a result: "ood-fashion_mnist.png".

    That of a path ends in a hash of it, and that of another result than eval.json in its name: no
    picture is overwritten by one of something else.

    Args:
      name: of the data set, as it was asked for.
      result: the file of the evaluation.
    """
    kind, _, place = name.partition(":")
    if place:
        stem = re.sub(r"[^\w-]+", "-", pathlib.PurePath(place).stem)[:40]
        kind += f"-{stem}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"
    return f"ood-{kind}{result.stem.removeprefix('eval')}.png"


def save(
    path: pathlib.Path, name: str, compared: ood.Compared, *, formats: Sequence[str] = ("png",)
) -> None:
    """Writes histograms of every score that is finite, with the area that it reaches.

    Args:
      path: the picture.
      name: of the other data set.
      compared: the scores.
      formats: of the files.
    """
    entry = compared.entry()
    shown = [score for score in compared.inside if entry[score]]
    columns = max(min(COLUMNS, len(shown)), 1)
    rows = max(-(-len(shown) // columns), 1)
    figure = style.figure(3.6 * columns, 2.7 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, score in zip(panels.flat, shown, strict=False):
        sets = compared.inside[score], compared.outside[score]
        together = np.concatenate(sets)
        low, high = np.percentile(together, (CUT, 100 - CUT))
        distinct = 1 + int(np.count_nonzero(np.diff(np.unique(together)) > ROUNDING))
        edges = np.linspace(low, high if high > low else low + 1, min(BINS, distinct) + 1)
        for values, color, of in zip(
            sets, (style.BLUE, style.ORANGE), ("the run's data", style.plain(name)), strict=True
        ):
            weights = np.full(len(values), 100 / len(values))
            inside = np.clip(values, edges[0], edges[-1])
            axes.hist(inside, edges, weights=weights, color=color, alpha=0.6, label=of)
        area = entry[score]
        size = with_error(area["auroc"], area["se"], ".3f")
        axes.set_title(f"{score}: AUROC {size}", fontsize=style.LABEL_SIZE + 1)
        unit = "bits" if score in ood.IN_BITS else "nats"
        axes.set(xlabel=f"{unit}; what lies beyond is in the outermost bars", ylabel="images, %")
        style.dress(axes, grid="y")
    if shown:
        figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center",
                      ncols=2, frameon=False)  # fmt: skip
    style.save(figure, path, formats)
