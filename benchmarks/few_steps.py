"""What steps of a diffusion prior are worth: bound, IWAE, FID and seconds of every chain and T.

python -m benchmarks.few_steps --runs=runs/a,runs/b [--students=runs/c,...] [--steps=1,2,4,8,25,100]
    [--write] [--config.FIELD=VALUE ...]

Every run, one for each seed, is evaluated with the chains `fixed`, `calibrated` and `optimised` of
every T; runs that went on from one of them (`train.init_from`) as the chains that they are. What is
evaluated already is not evaluated again. --write puts the table and the picture into the docs.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.pages import write_table
from launch.table import mean_and_error
from vdp import config
from vdp.evaluation import naming, report
from vdp.modes import evaluate
from vdp.pictures import style
from vdp.runtime import markdown
from vdp.settings import Settings, parse

CHAINS = ("fixed", "calibrated", "optimised")
DOCS = pathlib.Path(__file__).parent.parent / "docs"
PAGE, PICTURE = DOCS / "few_steps.md", DOCS / "img" / "few_steps.png"
MARKS = "<!-- few steps -->", "<!-- end of few steps -->"
COLOURS = {"fixed": style.DARK, "calibrated": style.BLUE, "optimised": style.GREEN}
COLUMNS = (
    "chain", "T", "bound, nats", "below T=inf", "IWAE, nats", "ESS", "FID", "s per 1,000 samples"
)  # fmt: skip
Result = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One chain of one T, of one run: its evaluation, and that of T=inf of the run it came from."""

    chain: str
    steps: int
    result: Result
    limit: float

    def bound(self) -> float | None:
        """In nats: of a student, whose bound is that of its chain, the one it was trained on."""
        estimators = self.result["estimators"]
        entry = estimators["elbo_discrete"] or estimators["elbo"]
        return entry["nats"]["mean"]

    def below(self) -> float | None:
        """How far the bound lies below that of infinitely many steps, in nats."""
        bound = self.bound()
        return None if bound is None else self.limit - bound

    def of_iwae(self, name: str) -> float | None:
        """The mean of the IWAE, or its "ess"."""
        entry = self.result["estimators"]["iwae"]
        if entry is None:
            return None
        return entry["ess"] if name == "ess" else entry["nats"]["mean"]

    def fid(self) -> float | None:
        """Of samples by the run's own sampler of T steps."""
        entry = self.result.get("fid")
        return entry["value"] if entry else None


READERS: tuple[Callable[[Point], float | None], ...] = (
    Point.bound,
    Point.below,
    lambda point: point.of_iwae("nats"),
    lambda point: point.of_iwae("ess"),
    Point.fid,
    lambda point: report.sampling_seconds(point.result),
)


def evaluated(workdir: pathlib.Path, overrides: Sequence[tuple[str, str]], **fields: Any) -> Result:
    """The evaluation of a run with these fields of `eval`, which is made where it is not there."""
    record = config.read_run(workdir)
    settings = record.settings.replace(eval=dict(checkpoint="best", split="test", **fields))
    settings = _with(settings, overrides)
    path = workdir / naming.file_name(record.settings, settings)
    found = json.loads(path.read_text()) if path.exists() else None
    asked = set(settings.eval.estimators) - {"fid"}
    if found is None or any(found["estimators"].get(name) is None for name in asked):
        evaluate.main(settings, workdir)
    return json.loads(path.read_text())


def _with(settings: Settings, overrides: Sequence[tuple[str, str]]) -> Settings:
    changed = parse.to_config(settings)
    config.override(changed, overrides)
    return parse.parse(changed)


def points(
    runs: Sequence[pathlib.Path],
    students: Sequence[pathlib.Path],
    steps: Sequence[int],
    overrides: Sequence[tuple[str, str]],
) -> list[Point]:
    """All of them, evaluated."""
    made, limits = [], {}
    for run in runs:
        own = evaluated(run, overrides, estimators=("elbo",))
        limits[run.resolve()] = own["estimators"]["elbo"]["nats"]["mean"]
        for chain in CHAINS:
            for num in steps:
                asked = dict(reverse=chain, num_steps=num)
                names = ("elbo_discrete", "iwae", "fid")
                result = evaluated(run, overrides, estimators=names, **asked)
                limit = limits[run.resolve()]
                made.append(Point(chain=chain, steps=num, result=result, limit=limit))
    for student in students:
        settings = config.read_run(student).settings
        first = pathlib.Path(settings.train.init_from or "").resolve()
        result = evaluated(student, overrides, estimators=("elbo", "iwae", "fid"))
        prior = settings.model["prior"]
        chain = "distilled" if prior.get("teacher_steps") else "fine-tuned"
        num = prior["num_steps"]
        made.append(Point(chain=chain, steps=num, result=result, limit=limits[first]))
    return made


def cells(group: Sequence[Point]) -> list[str]:
    """A row of the table: means over runs with their standard errors."""
    row = [group[0].chain, str(group[0].steps)]
    for read in READERS:
        values = [value for point in group if (value := read(point)) is not None]
        if len(values) < len(group):
            row.append("")
            continue
        mean, error = mean_and_error(values)
        row.append(f"{mean:.2f}" if error is None else f"{mean:.2f} ± {error:.2f}")
    return row


def draw(groups: Mapping[tuple[str, int], Sequence[Point]]) -> None:
    """Writes the picture: nats against calls of the network."""
    figure = style.figure(6.4, 3.8)
    axes = figure.add_subplot()
    style.dress(axes)
    for chain in dict.fromkeys(chain for chain, _ in groups):
        line = sorted((num, group) for (name, num), group in groups.items() if name == chain)
        lost = [mean_and_error([point.below() or 0.0 for point in group]) for _, group in line]
        means, errors = zip(*((mean, error or 0.0) for mean, error in lost), strict=True)
        look = dict(color=COLOURS.get(chain, style.ORANGE), label=chain, capsize=2)
        axes.errorbar([num for num, _ in line], means, errors, marker="o", **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=0.5)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set_xlabel("steps: calls of the network for one sample")
    axes.set_ylabel("nats below T=inf")
    axes.legend(frameon=False)
    style.save(figure, PICTURE)


def main() -> int:
    """Evaluates what is missing, and prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--runs", required=True)
    parser.add_argument("--students", default="")
    parser.add_argument("--steps", default="1,2,4,8,25,100")
    parser.add_argument("--write", action="store_true")
    flags, rest = parser.parse_known_args()
    overrides = [tuple(item.removeprefix("--config.").split("=", 1)) for item in rest]
    paths = lambda text: [pathlib.Path(name) for name in text.split(",") if name]
    steps = [int(num) for num in flags.steps.split(",")]
    groups = collections.defaultdict(list)
    for point in points(paths(flags.runs), paths(flags.students), steps, overrides):
        groups[point.chain, point.steps].append(point)
    table = "\n".join(markdown.table(COLUMNS, [cells(group) for group in groups.values()]))
    print(table)
    if flags.write:
        draw(groups)
        write_table(table, PAGE, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
