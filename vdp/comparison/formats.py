"""Tables of a comparison as files: Markdown, LaTeX, CSV, and lines of a terminal."""

import csv
import io

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from vdp.comparison.side_by_side import Comparison
from vdp.comparison.statistics import Estimate
from vdp.comparison.tables import NONE, Table
from vdp.runtime import markdown as md

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", NONE: "--", "<": r"$<$", ">": r"$>$", "∞": r"$\infty$", "|": r"\textbar{}",
}  # fmt: skip


CSV = (
    "kind", "name", "model", "minus", "mean", "se", "se_images", "se_seeds", "two_errors",
    "of", "k", "unit", "better", "paired", "noisy", "not_a_bound",
)  # fmt: skip


def markdown(table: Table) -> str:
    """A table of Markdown."""
    header, rows = (list(map(md.cell, table[0])), [list(map(md.cell, row)) for row in table[1]])
    return "\n".join(md.table(header, rows))


def latex(table: Table, caption: str) -> str:
    """A table of LaTeX, whose document needs the package booktabs."""
    header, rows = table
    row = lambda cells: " & ".join(map(escaped, cells)) + r" \\"
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            row(header),
            r"\midrule",
            *map(row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def escaped(text: str) -> str:
    """A text whose characters mean themselves in LaTeX."""
    return "".join(LATEX.get(character, character) for character in text)


def as_csv(comparison: Comparison) -> str:
    """Every number in a long table: one line for each arm's estimate, measure, and difference."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV)
    for name, entries in comparison.estimates.items():
        for label, e in entries.items():
            writer.writerow(
                ["estimate", name, label, "", *_numbers(e.estimate), e.model, e.k, e.unit, "", ""]
                + [e.noisy, e.not_a_bound]
            )
    for name, estimates in comparison.measures.items():
        for label, estimate in estimates.items():
            writer.writerow(["measure", name, label, "", *_numbers(estimate), *[""] * 7])
    for d in comparison.differences:
        unit = comparison.estimates[d.estimator][d.a].unit
        better = [d.better or "", d.paired, "", ""]
        writer.writerow(
            ["difference", d.estimator, d.a, d.b, *_numbers(d.estimate), "", "", unit, *better]
        )
    return out.getvalue()


def _numbers(estimate: Estimate) -> tuple[float | None, ...]:
    parts = estimate.se, estimate.over_images, estimate.over_seeds, estimate.threshold
    return estimate.mean, *parts


def show(table: Table, title: str) -> None:
    """Prints a table on the terminal."""
    header, rows = table
    console = Console(highlight=False)
    grid = Grid(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    for place, name in enumerate(header):  # texts: names of runs can look like markup
        grid.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print(grid)
