"""Models of other programs beside those of vdp, trained for the same time on the same machine.

python -m benchmarks.beside [--runs=RUN,RUN,...] [--peers=FILE,FILE,...] [--write]

--runs are finished runs with `iwae` among their estimators, --peers files of `benchmarks/peers`.
What they say is kept in benchmarks/measured/peers, and the table is made of all that is kept there;
--write puts it into docs/results.md.
"""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.pages import write_table
from benchmarks.results import MEASURED, PAGE, file_name, started
from vdp.errors import UserError
from vdp.record import RESULT, RUN_FILE
from vdp.runtime import files, markdown

KEPT = MEASURED / "peers"
LENGTHS = ("train.steps", "train.epochs", "train.seconds")  # which the table says in a column
MARKS = "<!-- beside -->", "<!-- end of beside -->"

Kept = Mapping[str, Any]


def of_run(workdir: pathlib.Path) -> Kept:
    """A finished run, as the programs of `benchmarks/peers` write theirs."""
    run = files.read_json(workdir / RUN_FILE, RUN_FILE)
    result = files.read_json(workdir / RESULT, RESULT)
    bound = result["estimators"].get("iwae")
    if bound is None:
        raise UserError(f"{workdir} has no estimate iwae: evaluate it with --mode=eval")
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
        "samples": bound["k"],
        "images": result["num_examples"],
        "nats": bound["nats"]["mean"],
        "se": bound["nats"]["se"],
    }


def keep(kept: Kept) -> None:
    """Keeps one model as a file of its own."""
    words = [kept["program"], kept["model"], f"seed={kept['seed']}"]
    files.write_json(KEPT / f"{file_name(words)}.json", kept)


def table() -> str:
    """What is kept, the best first, in Markdown."""
    every = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
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
        f"{kept['nats']:.2f} ± {kept['se']:.2f} (K={kept['samples']})",
    )


def main() -> int:
    """Keeps what is new, and prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    paths = lambda text: [pathlib.Path(name) for name in text.split(",") if name]
    parser.add_argument("--runs", type=paths, default=[])
    parser.add_argument("--peers", type=paths, default=[])
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    for path in flags.peers:
        if not path.is_file():
            raise UserError(f"{path} is no file that a program of benchmarks/peers has written")
    for kept in (*map(of_run, flags.runs), *(files.read_json(p, p.name) for p in flags.peers)):
        keep(kept)
    print(table())
    if flags.write:
        write_table(table(), PAGE, MARKS)
    return 0


if __name__ == "__main__":
    command.run(main)
