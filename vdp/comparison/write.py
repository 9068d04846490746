"""A comparison as files: comparison.md, .csv, .tex, .html and .png in one folder."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

from vdp.comparison import figure, formats, page, tables
from vdp.comparison.side_by_side import Comparison
from vdp.errors import UserError
from vdp.runtime import files

NAME = "comparison"


def caption(comparison: Comparison) -> str:
    """What all numbers of a comparison are of."""
    return (
        f"Means over {comparison.num_images:,} images of the {comparison.split} split, with "
        "standard errors over images and, where a model has several seeds, over seeds."
    )


def markdown(comparison: Comparison) -> str:
    """The comparison as a page of Markdown."""
    parts = ["# Comparison", caption(comparison), formats.markdown(tables.arms(comparison))]
    parts += ["## Differences", formats.markdown(tables.differences(comparison))]
    if comparison.differs:
        parts += ["## What was set differently", formats.markdown(tables.settings(comparison))]
    if comparison.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in comparison.notes)]
    paths = [
        f"- {arm.label}: {', '.join(str(r.path) for r in arm.runs)}" for arm in comparison.arms
    ]
    return "\n\n".join([*parts, "## Evaluations", "\n".join(paths)]) + "\n"


def latex(comparison: Comparison) -> str:
    """Both tables of numbers for a document that uses booktabs."""
    differences = "Differences between models, paired by image where that is said."
    return (
        formats.latex(tables.arms(comparison), caption(comparison))
        + "\n\n"
        + formats.latex(tables.differences(comparison), differences)
        + "\n"
    )


TEXTS: Mapping[str, Callable[[Comparison], str]] = {
    "md": markdown,
    "csv": formats.as_csv,
    "tex": latex,
}


def write(
    comparison: Comparison, folder: pathlib.Path, pictures: Sequence[str] = ("png",)
) -> list[pathlib.Path]:
    """Writes every file, replacing those of an earlier comparison.

    Args:
      comparison: of two arms or more.
      folder: made where it is not there.
      pictures: formats of the picture.

    Returns:
      The paths.

    Raises:
      UserError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = dict.fromkeys(["png", *pictures])  # the page shows the PNG
    figure.save(comparison, folder / f"{NAME}.png", list(drawn))
    texts = {suffix: text(comparison) for suffix, text in TEXTS.items()}
    shown = folder / f"{NAME}.png"
    texts["html"] = page.html_page(comparison, caption(comparison), shown)
    for suffix, text in texts.items():
        files.write_text(folder / f"{NAME}.{suffix}", text)
    return [folder / f"{NAME}.{suffix}" for suffix in (*texts, *drawn)]
