"""Bound, IWAE, FID and seconds of sampling for every chain of a diffusion prior and every T.

python -m benchmarks.few_steps --runs=runs/a,runs/b [--others=runs/c,...] [--solvers=dpmpp]
    [--steps=1,2,4,8,25,100] [--measure=bound,iwae,fid,seconds] [--images=0] [--weighed=IMAGES]
    [--samples=32] [--drawn=10000] [--out=runs/few_steps] [--write=NAME]

Every run, one for each seed, is measured on its test images (the first --images of them; 0: all;
its IWAE on the first --weighed, as many if nothing is said) with the chains `fixed`,
`calibrated` and `optimised` of every T; --others with the chain they were trained with: they went
on from one of the runs (`train.init_from`, also by steps), or are of the same seed. Nats below
T=inf are those below that run; of a fine-tuned chain, where --others has it, below a run that went
on for as many steps with the bound of infinitely many. --solvers sample the --runs without any
chain, and have FID and seconds alone. What is measured is kept in --out and not measured again
(`benchmarks.chains`), and the table shows all that is kept of these chains; seconds ask for a quiet
machine. --write puts the table and the picture called NAME into the docs.
"""

import argparse
import collections
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from benchmarks import command
from benchmarks.chains import IWAE, OWN, QUANTITIES, SOLVERS, TIMED, Asked, Numbers
from benchmarks.pages import write_table
from launch.table import mean_and_error
from vdp.data import datasets
from vdp.errors import UserError, choose_from
from vdp.metrics import likelihood
from vdp.pictures import style
from vdp.record import read_run
from vdp.runtime import markdown

CHAINS = ("fixed", "calibrated", "optimised")
TUNED, LONGER = "fine-tuned", "trained on"  # with the bound of T steps, of infinitely many
DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "few_steps.md"
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
    "below": "below T=inf",
    "iwae": "IWAE, nats",
    "ess": "ESS",
    "fid": "FID",
    "seconds": f"s for {TIMED:,} samples",
}
Groups = dict[tuple[str, int], list[Numbers]]


def kind_of(workdir: pathlib.Path) -> tuple[str, int]:
    """(what the table calls the chain that a run was trained with, its T; 0: infinitely many)."""
    settings = read_run(workdir).settings
    prior = settings.model.get("prior") or {"name": None}
    if prior["name"] == "trajectory":
        return "trajectory", prior["num_steps"]
    if prior.get("teacher_steps"):
        return "distilled", prior["num_steps"]
    if prior.get("reverse") == "learned":
        return TUNED if settings.train.init_from else "learned", prior["num_steps"]
    is_continuous = prior["name"] == "vdm" and prior.get("bound", "continuous") == "continuous"
    if settings.train.init_from and is_continuous:
        return LONGER, 0
    raise UserError(f"{workdir} has no chain of its own: name it in --runs")


def first_of(workdir: pathlib.Path, runs: Sequence[pathlib.Path]) -> pathlib.Path:
    """The run that another went on from, by steps, or that of its seed."""
    of_runs = {run.resolve(): run for run in runs}
    settings = read_run(workdir).settings
    seed, before = settings.seed, settings.train.init_from
    while before and pathlib.Path(before).resolve() not in of_runs:
        before = read_run(before).settings.train.init_from
    if before:
        return of_runs[pathlib.Path(before).resolve()]
    for run in runs:
        if read_run(run).settings.seed == seed:
            return run
    raise UserError(f"{workdir} went on from none of --runs, and none has its seed {seed}")


def as_long(workdir: pathlib.Path, others: Sequence[pathlib.Path]) -> pathlib.Path | None:
    """The run that went on as another did, with the bound of infinitely many steps; or None."""
    went_on = lambda run: ((t := read_run(run).settings.train).init_from, t.steps)
    for other in others:
        if kind_of(other)[0] == LONGER and went_on(other) == went_on(workdir):
            return other
    return None


def measure_all(
    asked: Asked,
    runs: Sequence[pathlib.Path],
    others: Sequence[pathlib.Path],
    solvers: Sequence[str],
    steps: Sequence[int],
) -> Groups:
    """The numbers of all runs, by (chain, T)."""
    groups: Groups = collections.defaultdict(list)

    @functools.cache
    def limit(run: pathlib.Path) -> Sequence[float]:
        return asked.of(run, "fixed", 0)["bounds"]

    def add(name: str, num: int, workdir: pathlib.Path, chain: str, beside: pathlib.Path) -> None:
        numbers = dict(asked.of(workdir, chain, num))
        if "bounds" in numbers:
            lost = np.subtract(limit(beside), numbers["bounds"])
            paired = likelihood.mean_and_error(lost)
            numbers |= {"below": paired["mean"], "below_se": paired["se"]}
            numbers["bound_se"] = likelihood.mean_and_error(np.array(numbers["bounds"]))["se"]
        groups[name, num].append(numbers)

    for chain in (*CHAINS, *solvers):
        for num in steps:
            for run in runs:
                add(chain, num, run, chain, run)
    for other in sorted(others, key=kind_of):
        name, num = kind_of(other)
        first, chain = first_of(other, runs), "fixed" if name == LONGER else OWN
        add(name, num, other, chain, as_long(other, others) or first if name == TUNED else first)
    return groups


def estimate(group: Sequence[Numbers], name: str) -> tuple[float, float | None]:
    """The mean over runs and its standard error; of a single run that over images, if known."""
    mean, error = mean_and_error([numbers[name] for numbers in group])
    return mean, group[0].get(f"{name}_se") if error is None else error


def cell(group: Sequence[Numbers], name: str) -> str:
    """An estimate in words; empty where a run lacks it."""
    if any(name not in numbers for numbers in group):
        return ""
    mean, error = estimate(group, name)
    return f"{mean:.2f}" if error is None else f"{mean:.2f} ± {error:.2f}"


def draw(groups: Groups, path: pathlib.Path) -> None:
    """Writes the picture: nats against steps."""
    figure = style.figure(6.4, 3.8)
    axes = figure.add_subplot()
    style.dress(axes)
    bounds = {key: group for key, group in groups.items() if key[1] and "below" in group[0]}
    if not bounds:
        raise UserError("the picture is of bounds, and none is measured: --measure=bound")
    for chain in dict.fromkeys(chain for chain, _ in bounds):
        line = sorted((num, group) for (name, num), group in bounds.items() if name == chain)
        each = [estimate(group, "below") for _, group in line]
        means, errors = zip(*((mean, error or 0.0) for mean, error in each), strict=True)
        dashes = "-" if chain in CHAINS else "--"
        look = dict(label=chain, capsize=2, linestyle=dashes, **LOOKS[chain])
        axes.errorbar([num for num, _ in line], means, errors, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    lost = [numbers["below"] for group in bounds.values() for numbers in group]
    axes.set_ylim(min(0.0, 2.0 * min(lost)), 1.5 * max(lost))
    steps = sorted({num for _, num in bounds})
    axes.set_xticks(steps, [str(num) for num in steps], minor=False)
    axes.set_xlabel("steps of the chain")
    axes.set_ylabel("nats below T=inf")
    axes.legend(frameon=False)
    style.save(figure, path)


def in_table(groups: Groups, weighed: str = "") -> str:
    """The table, in Markdown; `weighed` images have an IWAE, where that is said."""
    known = {name for group in groups.values() for numbers in group for name in numbers}
    columns = [name for name in COLUMNS if name in known]
    rows = [
        (chain, str(num or "inf"), *(cell(group, name) for name in columns))
        for (chain, num), group in groups.items()
    ]
    of = f" ({weighed} images)" if weighed else ""
    heads = ("chain", "T", *(COLUMNS[name] + of * (name in IWAE) for name in columns))
    return "\n".join(markdown.table(heads, rows))


def parsed() -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    paths = lambda text: [pathlib.Path(name) for name in text.split(",") if name]
    parser.add_argument("--runs", type=paths, required=True)
    parser.add_argument("--others", type=paths, default=[])
    parser.add_argument(
        "--steps", type=lambda t: [int(n) for n in t.split(",")], default="1,2,4,8,25,100"
    )
    words = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("--solvers", type=words, default=[])
    parser.add_argument("--measure", type=words, default=",".join(QUANTITIES))
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--weighed", type=int)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--drawn", type=int, default=10_000)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/few_steps"))
    parser.add_argument("--write", metavar="NAME")
    flags = parser.parse_args()
    if not flags.runs:
        raise UserError("--runs names no run")
    for quantity in flags.measure:
        if quantity not in QUANTITIES:
            raise choose_from("--measure", quantity, QUANTITIES)
    for solver in flags.solvers:
        if solver not in SOLVERS:
            raise choose_from("--solvers", solver, SOLVERS)
    return flags


def main() -> int:
    """Measures what is missing, and prints the table."""
    flags = parsed()
    asked = Asked(
        quantities=tuple(flags.measure),
        images=flags.images,
        weighed=flags.images if flags.weighed is None else flags.weighed,
        samples=flags.samples,
        drawn=flags.drawn,
        out=flags.out,
        dataset=datasets.load(read_run(flags.runs[0]).settings.data),
    )
    groups = measure_all(asked, flags.runs, flags.others, flags.solvers, flags.steps)
    of = f"{asked.weighed:,}" if asked.weighed else "all"
    table = in_table(groups, weighed="" if asked.weighed == asked.images else of)
    print(table)
    if flags.write:
        draw(groups, DOCS / "img" / f"few_steps_{flags.write}.png")
        marks = f"<!-- few steps: {flags.write} -->", f"<!-- end of few steps: {flags.write} -->"
        write_table(table, PAGE, marks)
    return 0


if __name__ == "__main__":
    command.run(main)
