"""The look of every figure, and how it is written: by rename, as PNG, PDF or SVG.

No display is needed, and matplotlib is imported when a figure is drawn.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from vdp.runtime import files

GROUND = (0.78, 0.87, 0.96)  # between images: a pale blue, which no grey image can be taken for
BLUE, ORANGE, GREEN, DARK = "#0b5fa5", "#d9680f", "#2f8f4e", "#4a4f57"
DPI = 110  # of PNG files, unless a figure says otherwise
LABEL_SIZE = 9.0  # points, of the rows and columns of a grid


def figure(width: float, height: float, *, dpi: int = DPI) -> Any:
    """An empty matplotlib figure of this size in inches, whose parts keep clear of each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(made)
    return made


def dress(axes: Any, *, grid: str | None = "both") -> None:
    """Takes the upper and right frame off axes, and puts a pale grid behind what is drawn.

    Args:
      axes: of a figure.
      grid: "x", "y" or "both"; None: no grid.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("0.6")
    axes.tick_params(color="0.6", labelcolor="0.25")
    if grid:
        axes.grid(axis=grid, color="0.9")
        axes.set_axisbelow(True)


def plain(text: str) -> str:
    """A text that is a name: a $ is one and begins no formula, and what is not UTF-8 is a "?"."""
    return text.replace("$", r"\$").encode(errors="replace").decode()


def text_width(text: str, *, size: float = LABEL_SIZE) -> float:
    """The width of a line of text in points."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0


def paths(path: pathlib.Path, formats: Sequence[str]) -> list[pathlib.Path]:
    """Where `save` writes: the path with each format as its suffix."""
    return [path.with_suffix(f".{name}") for name in formats]


def save(made: Any, path: pathlib.Path, formats: Sequence[str] = ("png",)) -> None:
    """Writes a figure in every format; text stays text in PDF and SVG.

    Args:
      made: a matplotlib figure.
      path: of the file; its suffix is replaced by each format.
      formats: "png", "pdf", "svg".
    """
    import matplotlib

    for target in paths(path, formats):
        with (
            files.replacing(target) as temporary,
            matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}),
        ):
            made.savefig(temporary)
