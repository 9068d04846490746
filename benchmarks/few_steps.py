"""Bound, IWAE, FID and seconds of sampling for every chain of a diffusion prior and every T.

python -m benchmarks.few_steps --runs=runs/a,runs/b [--others=runs/c,...] [--solvers=dpmpp]
    [--steps=1,2,4,8,25,100] [--measure=bound,iwae,fid,seconds] [--images=0] [--weighed=IMAGES]
    [--samples=32] [--drawn=10000] [--out=runs/few_steps] [--write=NAME [--keep]]

Every run, one for each seed, is measured on its test images (the first --images of them; 0: all;
its IWAE on the first --weighed, as many if nothing is said) with the chains `fixed`,
`calibrated` and `optimised` of every T; --others with the chain they were trained with: they went
on from one of the runs (`train.init_from`, also by steps), or are of the same seed. Nats below
T=inf are those below that run; of a fine-tuned chain, where --others has it, below a run that went
on for as many steps with the bound of infinitely many. --solvers sample the --runs without any
chain, and have FID and seconds alone. What is measured is kept in --out and not measured again
(`benchmarks.chains`), and the table shows all that is kept of these chains; seconds ask for a quiet
machine. --write puts the table and the picture called NAME into the docs; with --keep the rows that
are there and were not measured now stay.
"""

import argparse
import collections
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from benchmarks import command
from benchmarks.chain_tables import (
    CHAINS,
    LONGER,
    TUNED,
    Groups,
    as_text,
    draw,
    read,
    rows_of,
    together,
)
from benchmarks.chains import OWN, QUANTITIES, SOLVERS, Asked, Numbers
from benchmarks.pages import DOCS, marks, write_table
from vdp.data import datasets
from vdp.errors import Parser, UserError, choose_from
from vdp.metrics import likelihood
from vdp.record import read_run

PAGE = DOCS / "few_steps.md"


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
    groups: dict[tuple[str, int], list[Numbers]] = collections.defaultdict(list)

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


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__)
    paths = lambda text: [pathlib.Path(name) for name in text.split(",") if name]
    parser.add_argument("--runs", type=paths, required=True)
    parser.add_argument("--others", type=paths, default=[])
    parser.add_argument(
        "--steps", type=lambda t: [int(n) for n in t.split(",") if n], default="1,2,4,8,25,100"
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
    parser.add_argument("--keep", action="store_true")
    flags = parser.parse_args()
    if not flags.runs:
        raise UserError("--runs names no run")
    if flags.keep and not flags.write:
        raise UserError("--keep is of the rows of a page: name it by --write=NAME")
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
    rows = rows_of(groups, weighed="" if asked.weighed == asked.images else of)
    place = marks(f"few steps: {flags.write}")
    if flags.keep:
        rows = together(read(PAGE, place), rows)
    print(as_text(rows))
    if flags.write:
        draw(rows, DOCS / "img" / f"few_steps_{flags.write}.png")
        write_table(as_text(rows), PAGE, place)
    return 0


if __name__ == "__main__":
    command.run(main)
