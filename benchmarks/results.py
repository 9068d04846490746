"""The table of trained runs in docs/results.md, made of what the runs have written.

python -m benchmarks.results [--add=RUN,RUN,...] [--write]

--add keeps config.json and eval.json of finished runs, without their weights, as one file each in
benchmarks/measured. The table has a row for all seeds of one training, from these files alone;
--write puts it into the page. No number of it is typed.
"""

import argparse
import json
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import write_table
from launch.table import mean_and_error
from vdp.evaluation import noisy
from vdp.metrics import divergence
from vdp.record import RUN_FILE
from vdp.runtime import files, markdown

MEASURED = pathlib.Path(__file__).resolve().parent / "measured"
PAGE = MEASURED.parent.parent / "docs" / "results.md"
MARKS = "<!-- runs -->", "<!-- end of runs -->"
ESTIMATORS = {
    "elbo": "ELBO",
    "elbo_discrete": "ELBO of the T-step model",
    "iwae": "IWAE",
    "dvp_reference": "published estimate",
}
NO_BOUND = "not a bound"
IDLE = (
    "seed",
    "notes",
    "eval",
    "sample",
    "log",
    "checkpoint",
    "codec",
    "describe",
)  # train nothing

Run = Mapping[str, Any]  # {"run": of config.json, "result": of eval.json}


def keep(workdir: pathlib.Path) -> pathlib.Path:
    """Keeps what a finished run has written; returns the file.

    Args:
      workdir: of the run.
    """
    run = files.read_json(workdir / RUN_FILE, RUN_FILE)
    result = files.read_json(workdir / "eval.json", "eval.json")
    run.pop("places", None)
    run["config"]["data"]["dir"] = None
    run["command"] = " ".join([f"--config={_config(run)}", *_overrides(run)])
    name = "_".join([_config(run), *_overrides(run), f"{result['step']}", f"{_seed(run)}"])
    safe = "".join(c if c.isalnum() or c in "._=-" else "-" for c in name.replace("--config.", ""))
    path = MEASURED / f"{safe}.json"
    files.write_json(path, {"run": run, "result": result})
    return path


def _flags(run: Mapping[str, Any]) -> list[str]:
    return [word for word in shlex.split(run["command"]) if word.startswith("--config")]


def _config(run: Mapping[str, Any]) -> str:
    """The config that a run was started from."""
    (name,) = (flag for flag in _flags(run) if flag.startswith("--config="))
    return name.removeprefix("--config=")


def _overrides(run: Mapping[str, Any]) -> list[str]:
    """What its command changed of training or model."""
    idle = tuple(f"--config.{section}" for section in (*IDLE, "data.dir"))
    changed = [flag for flag in _flags(run) if flag.startswith("--config.")]
    return [flag for flag in changed if not flag.startswith(idle)]


def _seed(run: Mapping[str, Any]) -> int:
    return run["config"]["seed"]


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs, those that differ in their seed alone together, in the order of their names."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        config = {k: v for k, v in run["run"]["config"].items() if k not in IDLE}
        same = json.dumps([config, run["result"]["step"], run["run"]["hardware"]], sort_keys=True)
        groups.setdefault(same, []).append(run)
    return sorted(groups.values(), key=lambda group: group[0]["run"]["command"])


def estimate(group: Sequence[Run], name: str) -> str:
    """An estimate of a group in words: mean and error, what it is of, and whether it bounds."""
    entries = [run["result"]["estimators"].get(name) for run in group]
    if not all(entries):
        return ""
    mean, error = mean_and_error([entry["nats"]["mean"] for entry in entries])
    entry = entries[0]
    of_images = error is None
    error = entry["nats"]["se"] if of_images else error
    words = [entry["model"]]
    words += [f"K={entry['k']}"] if "k" in entry else []
    words += ["noisy"] if any(map(noisy.is_noisy, entries)) else []
    why = divergence.why_no_bound(name, entry)
    words += [NO_BOUND] if why and NO_BOUND not in words else []
    return f"{mean:.2f} ± {error:.2f} ({', '.join(words)})"


def row(group: Sequence[Run]) -> list[str]:
    """The cells of a group."""
    first, result = group[0]["run"], group[0]["result"]
    config, seconds = first["config"], [run["result"]["train_seconds"] for run in group]
    fields = " ".join(flag.removeprefix("--config.") for flag in _overrides(first))
    hardware = first["hardware"]
    where = hardware["kind"] if hardware["kind"] != "cpu" else f"{hardware['cores']} CPU cores"
    steps = f"{result['step']:,} of {config['train']['batch_size']}"
    trained = f"{steps}, {mean_and_error(seconds)[0]:,.0f} s on {where}"
    seeds = ", ".join(str(_seed(run["run"])) for run in group)
    images = f"{result['num_examples']:,} {result['split']}"
    about = [f"`{_config(first)}`" + (f" `{fields}`" if fields else ""), seeds, trained, images]
    return [*about, *(estimate(group, name) for name in ESTIMATORS)]


def table(runs: Sequence[Run]) -> str:
    """The table of some runs; columns that none fills are left out."""
    heads = ["config", "seeds", "trained", "images", *ESTIMATORS.values()]
    rows = [row(group) for group in grouped(runs)]
    filled = [i for i in range(len(heads)) if any(cells[i] for cells in rows)]
    pick = lambda cells: [cells[i] for i in filled]
    return "\n".join(markdown.table(pick(heads), map(pick, rows)))


def main(argv: Sequence[str] | None = None) -> int:
    """Keeps runs, prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--add", default="")
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args(argv)
    for workdir in filter(None, flags.add.split(",")):
        print(f"kept {keep(pathlib.Path(workdir)).name}")
    made = table([json.loads(path.read_text()) for path in sorted(MEASURED.glob("*.json"))])
    print(made)
    if flags.write:
        write_table(made, PAGE, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
