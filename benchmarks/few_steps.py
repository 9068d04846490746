"""Bound, IWAE and seconds of sampling for every chain of a diffusion prior and every T.

python -m benchmarks.few_steps --runs=runs/a,runs/b [--students=runs/c,...] [--steps=1,2,4,8,25,100]
    [--samples=32] [--out=runs/few_steps] [--write]

Every run, one for each seed, is measured on its test images with the chains `fixed`, `calibrated`
and `optimised` of every T; `--students`, runs that went on from one of them (`train.init_from`),
with their own chain. Each result is a JSON file in --out, and is not measured again. --samples is
K of the IWAE, 0 for none. --write puts the table and the picture into the docs.
"""

import argparse
import collections
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import vdp
from benchmarks import command
from benchmarks.pages import write_table
from launch.table import mean_and_error
from vdp.data import datasets
from vdp.metrics import likelihood, score
from vdp.pictures import style
from vdp.record import read_run
from vdp.run import calibration, restore
from vdp.runtime import files, markdown

CHAINS = ("fixed", "calibrated", "optimised")
DRAWN = 1000  # samples that are timed
DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
PAGE, PICTURE = DOCS / "few_steps.md", DOCS / "img" / "few_steps.png"
MARKS = "<!-- few steps -->", "<!-- end of few steps -->"
COLOURS = {"fixed": style.DARK, "calibrated": style.BLUE, "optimised": style.GREEN}
COLUMNS = {  # of the table: what a file holds
    "bound": "bound, nats",
    "below": "below T=inf",
    "iwae": "IWAE, nats",
    "ess": "ESS",
    "seconds": f"s for {DRAWN:,} samples",
}
LOAD = functools.cache(datasets.load)
Numbers = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of every run: K of the IWAE, and where the answers are kept."""

    samples: int
    out: pathlib.Path

    def answer(self, workdir: pathlib.Path, name: str, ask: Callable[[], Numbers]) -> Numbers:
        """The numbers that a file holds; where there is none, they are measured and written."""
        place = str(workdir).strip("/").replace("/", "_")
        path = self.out / f"{place}-{name.replace(' ', '')}-K={self.samples}.json"
        if not path.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            files.write_json(path, dict(ask()))
            print(path)
        return json.loads(path.read_text())


def opened(workdir: pathlib.Path, chain: str, num_steps: int) -> Any:
    """The run with this chain, fitted to its training images."""
    record = read_run(workdir)
    settings = record.settings.replace(eval=dict(reverse=chain, num_steps=num_steps))
    run = restore(settings, record, "best")
    return calibration.ensured(run, workdir, LOAD(settings.data))


def measured(run: Any, samples: int) -> Numbers:
    """The numbers of a run's chain on its test images."""
    arrays, model = run.arrays(run.images("test")), run.model.discretized()
    bounds = run.map(score.flat_terms, arrays, model=model)["value"]
    found: dict[str, Any] = {"bound": float(bounds.mean()), "bounds": bounds.tolist()}
    if samples:
        how = dict(num_samples=samples, chunk=min(run.settings.eval.iwae_chunk, samples))
        terms = run.map(likelihood.iwae_terms, arrays, model=model, **how)
        found |= {name: float(terms[key].mean()) for name, key in (("iwae", "value"), ("ess",) * 2)}
    run.sample(DRAWN)  # compiled
    start = time.perf_counter()
    run.sample(DRAWN, seed=1)
    return found | {"seconds": time.perf_counter() - start}


def limit(workdir: pathlib.Path) -> Numbers:
    """The bound of infinitely many steps."""
    run = vdp.load(workdir)
    return {"bounds": run.elbo(run.images("test")).value.tolist()}


def measure_all(
    asked: Asked,
    runs: Sequence[pathlib.Path],
    students: Sequence[pathlib.Path],
    steps: Sequence[int],
) -> dict[tuple[str, int], list[Numbers]]:
    """The numbers of all runs, by (chain, T)."""
    groups: dict[tuple[str, int], list[Numbers]] = collections.defaultdict(list)
    limits = {r.resolve(): asked.answer(r, "T=inf", lambda r=r: limit(r))["bounds"] for r in runs}

    def add(workdir: pathlib.Path, first: pathlib.Path, chain: str, kind: str, num: int) -> None:
        ask = lambda: measured(opened(workdir, kind, num), asked.samples)
        numbers = asked.answer(workdir, f"{chain}-T={num}", ask)
        lost = np.subtract(limits[first.resolve()], numbers["bounds"])
        paired = likelihood.mean_and_error(lost)
        groups[chain, num].append({**numbers, "below": paired["mean"], "below_se": paired["se"]})

    for chain in CHAINS:
        for num in steps:
            for run in runs:
                add(run, run, chain, chain, num)
    for student in students:
        settings = read_run(student).settings
        prior, first = settings.model["prior"], pathlib.Path(settings.train.init_from or "")
        chain = "distilled" if prior.get("teacher_steps") else "fine-tuned"
        add(student, first, chain, "calibrated", prior["num_steps"])
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


def draw(groups: Mapping[tuple[str, int], Sequence[Numbers]]) -> None:
    """Writes the picture: nats against calls of the network."""
    figure = style.figure(6.4, 3.8)
    axes = figure.add_subplot()
    style.dress(axes)
    for chain in dict.fromkeys(chain for chain, _ in groups):
        line = sorted((num, group) for (name, num), group in groups.items() if name == chain)
        each = [estimate(group, "below") for _, group in line]
        means, errors = zip(*((mean, error or 0.0) for mean, error in each), strict=True)
        look = dict(color=COLOURS.get(chain, style.ORANGE), label=chain, capsize=2)
        axes.errorbar([num for num, _ in line], means, errors, marker="o", **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=1.0)
    lost = [numbers["below"] for group in groups.values() for numbers in group]
    axes.set_ylim(min(0.0, 1.2 * min(lost)), 1.5 * max(lost))
    steps = sorted({num for _, num in groups})
    axes.set_xticks(steps, [str(num) for num in steps], minor=False)
    axes.set_xlabel("steps: calls of the network for one sample")
    axes.set_ylabel("nats below T=inf")
    axes.legend(frameon=False)
    style.save(figure, PICTURE)


def main() -> int:
    """Measures what is missing, and prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--runs", required=True)
    parser.add_argument("--students", default="")
    parser.add_argument("--steps", default="1,2,4,8,25,100")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/few_steps"))
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    paths = lambda text: [pathlib.Path(name) for name in text.split(",") if name]
    steps = [int(num) for num in flags.steps.split(",")]
    asked = Asked(samples=flags.samples, out=flags.out)
    groups = measure_all(asked, paths(flags.runs), paths(flags.students), steps)
    known = {name for group in groups.values() for numbers in group for name in numbers}
    columns = [name for name in COLUMNS if name in known]
    rows = [
        (chain, str(num), *(cell(group, name) for name in columns))
        for (chain, num), group in groups.items()
    ]
    heads = ("chain", "T", *(COLUMNS[name] for name in columns))
    table = "\n".join(markdown.table(heads, rows))
    print(table)
    if flags.write:
        draw(groups)
        write_table(table, PAGE, MARKS)
    return 0


if __name__ == "__main__":
    command.run(main)
