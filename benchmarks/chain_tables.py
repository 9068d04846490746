"""The table of `benchmarks.few_steps`: its rows, which a page keeps, and the picture of them."""

import pathlib
from collections.abc import Mapping, Sequence

from benchmarks.chains import IWAE, TIMED, Numbers
from benchmarks.pages import read_table
from vdp.errors import UserError
from vdp.pictures import style
from vdp.runtime import markdown
from vdp.runtime.numbers import mean_and_error, with_error

CHAINS = ("fixed", "calibrated", "optimised")  # of one run, for any T
TUNED, LONGER = "fine-tuned", "trained on"  # with the bound of T steps, of infinitely many
BELOW = "below T=inf"
LOOKS = {
    "fixed": dict(color=style.DARK, marker="o"),
    "calibrated": dict(color=style.BLUE, marker="o"),
    "optimised": dict(color=style.GREEN, marker="o"),
    "learned": dict(color=style.ORANGE, marker="s"),
    TUNED: dict(color=style.ORANGE, marker="D"),
    "trajectory": dict(color=style.BLUE, marker="^"),
    "distilled": dict(color=style.DARK, marker="x"),
}
COLUMNS = {  # of the table: what is measured
    "bound": "bound, nats",
    "below": BELOW,
    "iwae": "IWAE, nats",
    "ess": "ESS",
    "fid": "FID",
    "seconds": f"s for {TIMED:,} samples",
}
Groups = Mapping[tuple[str, int], list[Numbers]]
Rows = dict[tuple[str, str], dict[str, str]]  # {(chain, T): {head of a column: cell}}


def cell(group: Sequence[Numbers], name: str) -> str:
    """The mean over runs ± its standard error; of one run that over images; empty if unknown."""
    if any(name not in numbers for numbers in group):
        return ""
    mean, error = mean_and_error([numbers[name] for numbers in group])
    error = group[0].get(f"{name}_se") if error is None else error
    return with_error(mean, error)


def rows_of(groups: Groups, weighed: str = "") -> Rows:
    """The rows of what was measured; `weighed` images have an IWAE, where that is said."""
    of = f" ({weighed} images)" if weighed else ""
    heads = {name: head + of * (name in IWAE) for name, head in COLUMNS.items()}
    return {
        (chain, str(num or "inf")): {heads[name]: cell(group, name) for name in COLUMNS}
        for (chain, num), group in groups.items()
    }


def read(page: pathlib.Path, marks: tuple[str, str]) -> Rows:
    """The rows of a table that stands in a page between two comments."""
    head, *rows = read_table(page, marks) or [[]]
    return {(row[0], row[1]): dict(zip(head[2:], row[2:], strict=True)) for row in rows}


def together(before: Rows, now: Rows) -> Rows:
    """All rows, in the order of the page; cells that were measured now replace theirs.

    Raises:
      UserError: the columns differ, as where other numbers of images were measured.
    """
    known = {head for row in before.values() for head in row}
    new = {head for row in now.values() for head, cell in row.items() if cell} - known
    if before and new:
        raise UserError(f"the table of the page has no column {', '.join(sorted(new))}")
    measured = {key: {h: c for h, c in row.items() if c} for key, row in now.items()}
    return before | {key: before.get(key, {}) | row for key, row in measured.items()}


def as_text(rows: Rows) -> str:
    """The table, in Markdown, without columns that are empty."""
    every = list(dict.fromkeys(head for row in rows.values() for head in row))
    heads = [head for head in every if any(row.get(head) for row in rows.values())]
    lines = [(*key, *(row.get(head, "") for head in heads)) for key, row in rows.items()]
    return "\n".join(markdown.table(("chain", "T", *heads), lines))


def draw(rows: Rows, path: pathlib.Path) -> None:
    """Writes the picture: nats below T=inf against steps."""
    lost = {
        (chain, int(num)): [*map(float, row[BELOW].split(" ± ")), 0.0][:2]
        for (chain, num), row in rows.items()
        if num != "inf" and row.get(BELOW)
    }
    if not lost:
        raise UserError("the picture is of bounds, and none is measured: --measure=bound")
    figure = style.figure(6.4, 3.8)
    axes = figure.add_subplot()
    style.dress(axes)
    for chain in dict.fromkeys(chain for chain, _ in lost):
        line = sorted((num, each) for (name, num), each in lost.items() if name == chain)
        means, errors = zip(*(each for _, each in line), strict=True)
        look = dict(label=chain, capsize=2, linestyle="-" if chain in CHAINS else "--")
        axes.errorbar([num for num, _ in line], means, errors, **look, **LOOKS[chain])
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    every = [mean for mean, _ in lost.values()]
    axes.set_ylim(min(0.0, 2.0 * min(every)), 1.5 * max(every))
    steps = sorted({num for _, num in lost})
    axes.set_xticks(steps, [str(num) for num in steps], minor=False)
    axes.set_xlabel("steps of the chain")
    axes.set_ylabel("nats below T=inf")
    axes.legend(frameon=False)
    style.save(figure, path)
