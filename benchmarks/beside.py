"""Models of other programs beside those of vdp, trained for the same time on the same machine.

python -m benchmarks.beside --table=NAME [--runs=RUN,RUN,...] [--peers=FILE,FILE:RUN,...]
    [--estimator=iwae] [--write]

--runs are finished runs with the estimator, --peers files of `benchmarks/peers`, with a colon and a
run (or RUN/eval-NAME.json) where the trained weights are carried over to it: its evaluation is then
theirs. What they say is kept in benchmarks/measured/peers/NAME, and the table is made of all that
is kept there; --write puts it into docs/results.md, between the comments of that name.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.pages import marks, write_table
from benchmarks.results import MEASURED, PAGE, file_name, started
from vdp.errors import Parser, UserError
from vdp.record import RESULT, RUN_FILE
from vdp.runtime import files, markdown
from vdp.runtime.numbers import with_error

KEPT = MEASURED / "peers"
LENGTHS = ("train.steps", "train.epochs", "train.seconds")  # which the table says in a column

Kept = Mapping[str, Any]


def bound(path: pathlib.Path, estimator: str) -> Kept:
    """What an evaluation says of an estimate: that of a run, or one of its others."""
    path = path if path.suffix == ".json" else path / RESULT
    result = files.read_json(path, path.name)
    estimate = result["estimators"].get(estimator)
    if estimate is None:
        raise UserError(f"{path} has no estimate {estimator}: ask for it with --mode=eval")
    return {
        "of": f"K={estimate['k']}" if "k" in estimate else estimate["model"],
        "images": result["num_examples"],
        "nats": estimate["nats"]["mean"],
        "se": estimate["nats"]["se"],
    }


def of_run(workdir: pathlib.Path, estimator: str) -> Kept:
    """A finished run, as the programs of `benchmarks/peers` write theirs."""
    run = files.read_json(workdir / RUN_FILE, RUN_FILE)
    result = files.read_json(workdir / RESULT, RESULT)
    config, changed = started(run.get("command"), workdir)
    fields = [f for f in changed if f.partition("=")[0] not in LENGTHS]
    train = run["config"]["train"]
    return {
        "program": "vdp",
        "model": " ".join([config, *fields]),
        "seed": run["config"]["seed"],
        "epochs": round(result["step"] * train["batch_size"] / run["counts"]["train"], 1),
        "seconds": result["train_seconds"],
        "parameters": run["parameters"]["total"],
        **bound(workdir, estimator),
    }


def of_peer(words: str, estimator: str) -> Kept:
    """What another program has written, FILE, or evaluated as RUN where it is FILE:RUN."""
    name, carried, run = words.partition(":")
    if not pathlib.Path(name).is_file():
        raise UserError(f"{name} is no file that a program of benchmarks/peers has written")
    kept = files.read_json(pathlib.Path(name), name)
    return kept | bound(pathlib.Path(run), estimator) if carried else kept


def keep(kept: Kept, name: str) -> None:
    """Keeps one model of a table as a file of its own."""
    words = [kept["program"], kept["model"], f"seed={kept['seed']}"]
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    files.write_json(KEPT / name / f"{file_name(words)}.json", kept)


def table(name: str) -> str:
    """What is kept of a table, the best first, in Markdown."""
    every = [json.loads(path.read_text()) for path in sorted((KEPT / name).glob("*.json"))]
    heads = ("program", "model", "parameters", "trained", "images", "bound, nats")
    return "\n".join(markdown.table(heads, map(row, sorted(every, key=lambda x: -x["nats"]))))


def row(kept: Kept) -> Sequence[str]:
    """The cells of one model."""
    return (
        kept["program"],
        f"`{kept['model']}`",
        f"{kept['parameters']:,}",
        f"{kept['epochs']:g} epochs, {kept['seconds']:,.0f} s",
        f"{kept['images']:,}",
        f"{with_error(kept['nats'], kept['se'])} ({kept['of']})",
    )


def main() -> int:
    """Keeps what is new, and prints the table."""
    parser = Parser(description=__doc__)
    listed = lambda text: [name for name in text.split(",") if name]
    parser.add_argument("--table", required=True)
    parser.add_argument("--runs", type=listed, default=[])
    parser.add_argument("--peers", type=listed, default=[])
    parser.add_argument("--estimator", default="iwae")
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    new = [of_run(pathlib.Path(run), flags.estimator) for run in flags.runs]
    new += [of_peer(words, flags.estimator) for words in flags.peers]
    for kept in new:
        keep(kept, flags.table)
    print(table(flags.table))
    if flags.write:
        write_table(table(flags.table), PAGE, marks(f"beside: {flags.table}"))
    return 0


if __name__ == "__main__":
    command.run(main)
