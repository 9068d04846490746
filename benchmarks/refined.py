"""What the encoder loses: bounds with posteriors of each image's own beside those of the encoder.

python -m benchmarks.refined RUN [RUN ...] [--write] [--keep]

The newest evaluation of every run that has `elbo`, `elbo_refined`, `iwae` and `iwae_refined` (made
by `--mode=eval --config.eval.estimators=elbo,elbo_refined,iwae,iwae_refined`) is read, nothing is
computed. Runs of one training, evaluated alike, are seeds of one row. --write puts the table into
the docs; with --keep the rows that are there of other configs, fields or variants stay.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.pages import DOCS, marks, read_table, write_table
from benchmarks.results import asked, estimate, started
from vdp.errors import Parser, UserError
from vdp.evaluation.estimators import ESTIMATORS
from vdp.record import RUN_FILE
from vdp.runtime import files, markdown
from vdp.runtime.numbers import mean_and_error, with_error

PAGE = DOCS / "estimators.md"
MARKS = marks("refined")
HEADS = (
    "config", "seeds", "images", "ELBO", "refined ELBO", "gained", "IWAE", "refined IWAE", "gained",
    "ESS", "refined ESS",
)  # fmt: skip
REFINED = {name: each.refines for name, each in ESTIMATORS.items() if each.refines}

Result = Mapping[str, Any]


def evaluated(workdir: pathlib.Path) -> Result:
    """The newest evaluation of a run with all four estimates; UserError: there is none."""
    wanted = {*REFINED, *REFINED.values()}
    for path in sorted(workdir.glob("eval*.json"), key=lambda path: -path.stat().st_mtime):
        result = json.loads(path.read_text())
        there = result.get("estimators", {}) if isinstance(result, dict) else {}
        if all(there.get(name) for name in wanted):
            return result
    raise UserError(f"{workdir} has no evaluation with {', '.join(sorted(wanted))}")


def kind(result: Result) -> str:
    """What an evaluation has in common with those of other seeds."""
    entry, plain = result["estimators"]["iwae_refined"], result["estimators"]["iwae"]
    about = [entry[name] for name in ("model", "k", "refine_steps", "refine_rate")]
    about += [plain["k"], result.get("checkpoint"), result["split"], result["num_examples"]]
    return json.dumps([*about, asked(result)], sort_keys=True)


def number(results: Sequence[Result], name: str, key: str, digits: int = 2) -> str:
    """The mean of an entry over seeds ± its standard error, of one seed that over images."""
    entries = [result["estimators"][name] for result in results]
    values = [entry[key] for entry in entries]
    means = [value["mean"] if isinstance(value, dict) else value for value in values]
    mean, error = mean_and_error(means)
    if error is None and isinstance(values[0], dict):
        error = values[0]["se"]
    return with_error(mean, error, f".{digits}f")


def row(config: str, changed: Sequence[str], results: Sequence[Result]) -> list[str]:
    """The cells of the seeds of one config with changed fields."""
    first, runs = results[0], [{"result": result} for result in results]
    fields = " ".join(changed)
    about = f"`{config}`" + (f" `{fields}`" if fields else "")
    cells = [about, str(len(results)), f"{first['num_examples']:,} {first['split']}"]
    for name, base in REFINED.items():
        cells += [estimate(runs, base), estimate(runs, name), number(results, name, "gained")]
    return cells + [number(results, name, "ess", digits=1) for name in ("iwae", "iwae_refined")]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", action="store_true")
    flags = parser.parse_args(argv)
    groups: dict[tuple, dict[int, Result]] = {}
    for workdir in flags.runs:
        stored = files.read_json(workdir / RUN_FILE, RUN_FILE)
        config, changed = started(stored.get("command"), workdir)
        result, seed = evaluated(workdir), stored["config"]["seed"]
        group = groups.setdefault((config, tuple(changed), kind(result)), {})
        if seed in group:
            raise UserError(f"{workdir} is of seed {seed}, as another run of its row is")
        group[seed] = result
    rows = [row(*key[:2], list(group.values())) for key, group in groups.items()]
    if flags.keep:
        measured = {(cells[0], cells[2]): cells for cells in rows}
        there = read_table(PAGE, MARKS)[1:]
        if len(measured) < len(rows) or len({(cells[0], cells[2]) for cells in there}) < len(there):
            raise UserError("rows of one config and as many images are not told apart: no --keep")
        kept = [measured.pop((cells[0], cells[2]), cells) for cells in there]
        rows = kept + list(measured.values())
    table = "\n".join(markdown.table(HEADS, rows))
    print(table)
    if flags.write:
        write_table(table, PAGE, MARKS)
    return 0


if __name__ == "__main__":
    command.run(main)
