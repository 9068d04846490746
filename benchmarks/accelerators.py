"""Memory, work and least times of every config on GPUs and TPUs, without having any.

    python -m benchmarks.accelerators --out=DIR [--config=NAME+NAME] [--target=CHIP+CHIP]
        [--write [--keep]]

Every config in its full size, in float32 and (where its networks have a dtype) in bfloat16, on each
target, and on several devices with FSDP as well: each in a process of its own, whose JSON of
`--mode=describe` is a file in --out. Existing files are not made again, so that a command that was
stopped goes on. Each takes minutes, one at a time. --write puts a table for each target, of all
files, into docs/every_config.md, between its two comments; without --config and --target every file
is made first. With --keep the rows that are there and of which --out has no file stay.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import command
from benchmarks.pages import DOCS, marks, read_tables, write_table
from vdp import config, config_help
from vdp.accelerators import targets
from vdp.errors import Parser
from vdp.runtime import files, markdown
from vdp.settings import compare

PAGE = DOCS / "every_config.md"
MARKS = marks("accelerators")
TARGETS = ("h100", "h100:8", "v5e", "v5e:2x4")
WITH_DATA = "own_"  # configs that have no size without images
COLUMNS = (
    "config", "dtype", "FSDP", "batch", "GiB a device", "GFLOP", "GiB moved", "kernels",
    "collectives, MiB", "ms at least", "bound by", "hours at least", "compiled in, s",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One config on one target."""

    config: str
    target: str
    dtype: str
    fsdp: bool

    @property
    def name(self) -> str:
        """Of its file."""
        words = (self.config, self.target, self.dtype, *(["fsdp"] if self.fsdp else []))
        return "_".join(words).translate(str.maketrans(":,=", "---"))

    @property
    def command(self) -> list[str]:
        """The command that makes the file."""
        devices = targets.parse(self.target).devices
        given = config.load(self.config)
        fields = compare.flatten(given.to_dict())
        flags = [f"describe.target={self.target}"]
        flags += [f"{field}={self.dtype}" for field in dtypes(self.config)]
        batch = -(-fields["train.batch_size"] // devices) * devices
        flags += [f"train.batch_size={batch}"] if batch != fields["train.batch_size"] else []
        flags += ["train.fsdp=True"] if self.fsdp else []
        program = [sys.executable, "-m", "vdp.main", "--mode=describe", f"--config={self.config}"]
        return program + [f"--config.{flag}" for flag in flags]


def dtypes(name: str) -> list[str]:
    """Fields of a config that set the dtype of its networks."""
    fields = compare.flatten(config.load(name).to_dict())
    return [field for field in fields if field.startswith("model.") and field.endswith(".dtype")]


def names() -> Iterator[str]:
    """Every config with a size of its own, and its published shape where it has one."""
    for name in config.config_names():
        if not name.startswith(WITH_DATA):
            yield name
            if "reference" in config_help.choices(name).words:
                yield f"{name}:reference"


def cells(configs: list[str], chips: list[str]) -> Iterator[Cell]:
    """Every cell of these configs and chips."""
    for name, target in itertools.product(configs, chips):
        several = targets.parse(target).devices > 1
        for dtype in ("float32", "bfloat16") if dtypes(name) else ("float32",):
            for fsdp in (False, True) if several else (False,):
                yield Cell(config=name, target=target, dtype=dtype, fsdp=fsdp)


def made(cell: Cell) -> dict[str, Any] | None:
    """The JSON that the command prints, or {"error": its sentence}, with the cell's fields.

    None where it ended otherwise, as for want of this machine's memory: that is no answer.
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(cell.command, capture_output=True, text=True, env=environment)
    about = {"cell": dataclasses.asdict(cell), "command": ["python", *cell.command[1:]]}
    if done.returncode == 2:
        return about | {"error": done.stderr.strip().splitlines()[-1]}
    if done.returncode:
        print(f"ended with {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return about | json.loads(done.stdout.strip().splitlines()[-1])


def row(result: dict[str, Any]) -> list[str]:
    """One line of the table."""
    cell = result["cell"]
    about = [f"`{cell['config']}`", cell["dtype"], "yes" * cell["fsdp"]]
    if "error" in result:
        sentence = result["error"].removeprefix("error: ").partition(": ")[0]  # without its hint
        return [*about, sentence] + [""] * (len(COLUMNS) - 4)
    found = result["target"]
    step = found["programs"]["train"]
    seconds = step["floor_seconds"]
    bounds = {name: value for name, value in seconds.items() if name != "total"}
    sent = sum(each["bytes"] for each in step["collectives"].values()) / 2**20
    times = sum(each["count"] for each in step["collectives"].values())
    return [
        *about,
        str(step["batch_size"]),
        f"{step['memory']['total'] / 2**30:.2f}" + " (too many)" * (not step["fits"]),
        f"{sum(step['flops'].values()) / 1e9:,.4g}",
        f"{step['moved_bytes'] / 2**30:,.3g}",
        f"{sum(step['kernels'].values()):,.0f}",
        f"{times:,.0f}, {sent:,.4g}" if times else "",
        f"{1e3 * seconds['total']:,.3g}",
        max(bounds, key=bounds.__getitem__),
        f"{found['hours']:,.3g}",
        f"{step['compile_seconds']:,.0f}",
    ]  # fmt: skip


def on_page() -> dict[Cell, list[str]]:
    """The rows of the page, as of `row`, by their cells."""
    found: dict[Cell, list[str]] = {}
    for title, (head, *lines) in read_tables(PAGE, MARKS).items():
        for line in lines:
            cells = dict(zip(head, line, strict=True))
            config, fsdp = cells["config"].strip("`"), cells.get("FSDP") == "yes"
            cell = Cell(config=config, target=title.strip("`"), dtype=cells["dtype"], fsdp=fsdp)
            found[cell] = [cells.get(column, "") for column in COLUMNS]
    return found


def tables(rows_of: dict[Cell, list[str]]) -> str:
    """A table for each target under its name; columns that none of its rows fills are left out."""
    sections: list[str] = []
    for target in dict.fromkeys((*TARGETS, *(cell.target for cell in rows_of))):
        of_target = sorted((c for c in rows_of if c.target == target), key=lambda cell: cell.name)
        rows = [rows_of[cell] for cell in of_target]
        filled = [i for i in range(len(COLUMNS)) if any(cells[i] for cells in rows)]
        pick = lambda cells, filled=filled: [cells[i] for i in filled]
        made = markdown.table(pick(COLUMNS), map(pick, rows))
        sections += [f"## `{target}`", "\n".join(made)] if rows else []
    return "\n\n".join(sections)


def main(argv: list[str] | None = None) -> None:
    """Makes what is missing, and writes the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--config", default="")
    parser.add_argument("--target", default="+".join(TARGETS))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", action="store_true")
    flags = parser.parse_args(argv)
    flags.out.mkdir(parents=True, exist_ok=True)
    configs = flags.config.split("+") if flags.config else list(names())
    for cell in cells(configs, flags.target.split("+")):
        path = flags.out / f"{cell.name}.json"
        if not path.exists():
            print(f"{cell.name} ...", file=sys.stderr, flush=True)
            if found := made(cell):
                files.write_json(path, found)
    results = [json.loads(path.read_text()) for path in flags.out.glob("*.json")]
    rows = on_page() if flags.keep else {}
    text = tables(rows | {Cell(**result["cell"]): row(result) for result in results})
    print(text)
    if flags.write:
        write_table(f"\n{text}\n", PAGE, MARKS)


if __name__ == "__main__":
    command.run(main)
