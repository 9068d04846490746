"""The table of rates in docs/compression.md: files of runs beside the bounds of their models.

python -m benchmarks.rates [--add=RUN,RUN,...] [--split=test] [--num=0] [--batch_size=0]
    [--reverse=calibrated --num_steps=8] [--write]

--add compresses images of a run (the first --num of the split; 0: all), restores them, and keeps
what it measured in benchmarks/measured/rates; --batch_size is that of `codec`, --reverse and
--num_steps choose the chain of a diffusion prior, as in `eval`. The table is made of these files
alone; --write puts it into the page.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.pages import DOCS, marks, write_table
from benchmarks.results import MEASURED, file_name, started
from vdp.errors import Parser
from vdp.record import RUN_FILE, read_run
from vdp.run import restore
from vdp.run.rates import beside_bound
from vdp.runtime import files, markdown
from vdp.runtime.numbers import with_error

KEPT = MEASURED / "rates"
PAGE = DOCS / "compression.md"
MARKS = marks("rates")
HEADS = ("config", "images", "model", "bound, bits/dim", "rate", "difference", "initial bits")
Numbers = Mapping[str, Any]


def measure(workdir: pathlib.Path, split: str, num: int, asked: Mapping[str, Any]) -> Numbers:
    """Compresses images of a run, restores them, and says what came of it.

    Args:
      workdir: of the run.
      split: whose first images are coded.
      num: how many; 0: all.
      asked: sections of the settings, as `eval` and `codec`.
    """
    record = read_run(workdir)
    settings = record.settings.replace(**asked)
    run = restore(settings, record, settings.codec.checkpoint)
    images = run.images(split)[: num or None]
    start = time.perf_counter()
    encoded = run.encoded(images)
    seconds = time.perf_counter() - start
    if not np.array_equal(run.decompress(encoded.content), images):
        raise AssertionError(f"{workdir}: other images came back")
    command_line = files.read_json(workdir / RUN_FILE, RUN_FILE).get("command")
    config, changed = started(command_line, workdir)
    return {
        "config": config,
        "changed": changed,
        "seed": settings.seed,
        "step": run.step,
        "split": split,
        "images": len(images),
        "lanes": encoded.lanes,
        "initial_bits": int(encoded.initial_bits),
        "bytes": len(encoded.content),
        "seconds": seconds,
        **dataclasses.asdict(beside_bound(run, images, encoded)),
    }


def keep(numbers: Numbers) -> pathlib.Path:
    """Writes what was measured; returns the file."""
    words = [numbers["config"], *numbers["changed"], f"seed={numbers['seed']}", numbers["model"]]
    words += [numbers["split"], str(numbers["images"])]
    words += [f"step={numbers['step']}", f"lanes={numbers['lanes']}"]
    path = KEPT / f"{file_name(words)}.json"
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, dict(numbers))
    return path


def row(numbers: Numbers) -> list[str]:
    """The cells of one file."""
    fields = " ".join(numbers["changed"])
    config = f"`{numbers['config']}`" + (f" `{fields}`" if fields else "")
    about = [
        f"{config}, step {numbers['step']:,}",
        f"{numbers['images']:,} {numbers['split']}, {numbers['lanes']} at once",
        numbers["model"],
    ]
    within = None if numbers["gap_se"] is None else 100 * numbers["gap_se"]
    bound = with_error(numbers["bound"], numbers["bound_se"], ".4f")
    gap = with_error(100 * numbers["gap"], within, "+.2f")
    return [*about, bound, f"{numbers['rate']:.4f}", f"{gap} %", f"{numbers['initial_bits']:,}"]


def table() -> str:
    """The table of all that is kept, in Markdown."""
    found = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    return "\n".join(markdown.table(HEADS, map(row, found)))


def main() -> int:
    """Measures what is asked for, prints the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--add", default="")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=0)
    parser.add_argument("--reverse")
    parser.add_argument("--num_steps", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    chain = {"num_steps": flags.num_steps} | ({"reverse": flags.reverse} if flags.reverse else {})
    asked = {"eval": chain, "codec": {"batch_size": flags.batch_size}}
    for workdir in filter(None, flags.add.split(",")):
        kept = keep(measure(pathlib.Path(workdir), flags.split, flags.num, asked))
        print(f"kept {kept.name}", flush=True)
    made = table()
    print(made)
    if flags.write:
        write_table(made, PAGE, MARKS)
    return 0


if __name__ == "__main__":
    command.run(main)
