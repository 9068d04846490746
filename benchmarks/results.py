"""The table of trained runs in docs/results.md, made of what the runs have written.

python -m benchmarks.results [--add=RUN,RUN,...] [--write]

--add keeps config.json and eval.json of finished runs (of RUN/eval-NAME.json: that evaluation),
without their weights, as one file each in benchmarks/measured. The table has a row for all seeds of
one training, from these files alone; --write puts it into the page. No number of it is typed.
"""

import json
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.pages import DOCS, marks, write_table
from launch.table import qualified
from vdp import config
from vdp.errors import Parser
from vdp.record import RESULT, RUN_FILE
from vdp.runtime import files, markdown
from vdp.runtime.numbers import mean_and_error, with_error
from vdp.settings import compare
from vdp.settings.parse import parse, to_json

MEASURED = pathlib.Path(__file__).resolve().parent / "measured"
PAGE = DOCS / "results.md"
MARKS = marks("runs")
ESTIMATORS = {
    "elbo": "ELBO",
    "elbo_discrete": "ELBO of the T-step model",
    "iwae": "IWAE",
    "dvp_reference": "published estimate",
}
IDLE = {"seed", "notes", "eval", "sample", "log", "checkpoint", "codec", "describe"}  # no training

OF_THE_MODEL = ("reverse", "num_steps", "refine_steps", "refine_rate")  # of `eval`: whose bound

Run = Mapping[str, Any]  # "config", "changed", "run" of config.json, "result" of eval.json


def keep(path: pathlib.Path) -> pathlib.Path:
    """Keeps what a finished run has written, without the places it names; returns the file.

    Args:
      path: of the run, or of one of its evaluations.
    """
    workdir, name = (path.parent, path.name) if path.suffix == ".json" else (path, RESULT)
    run = files.read_json(workdir / RUN_FILE, RUN_FILE)
    result = files.read_json(workdir / name, name)
    name_of_config, changed = started(run.pop("command", None), workdir)
    run.pop("places", None)
    run["config"]["data"]["dir"] = None
    words = [name_of_config, *changed, f"step={result['step']}", f"seed={run['config']['seed']}"]
    words += [f"{field}={value}" for field, value in asked(result).items()]
    words += [text for text in _of(result) if text not in ("best", "test")]
    kept = MEASURED / f"{file_name(words)}.json"
    content = {"config": name_of_config, "changed": changed, "run": run, "result": result}
    if kept.exists() and json.loads(kept.read_text()) != json.loads(json.dumps(content)):
        print(f"{kept.name}: in place of another run or evaluation of this name", file=sys.stderr)
    files.write_json(kept, content)
    return kept


def file_name(words: Sequence[str]) -> str:
    """Words as the name of a file, without its ending."""
    return "".join(c if c.isalnum() or c in "._=-" else "-" for c in "_".join(words))


def asked(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an evaluation was asked for beyond its run's own, but how it was cut up."""
    plain = ("eval.estimators", "eval.batch_size", "eval.iwae_chunk", "data.dir")
    return {field: value for field, value in result["settings"].items() if field not in plain}


def _of(result: Mapping[str, Any]) -> tuple[str, str]:
    """(checkpoint, split) of an evaluation."""
    return str(result.get("checkpoint", "best")), result["split"]


def question(run: Run) -> list[Any]:
    """What was evaluated, and how: seeds whose answers are averaged have it in common.

    An evaluation holds what it was asked beyond its run's own `eval`, which seeds may have set to
    other values. Of an IWAE the number of samples counts, not that of a run that has none.
    """
    result, own = run["result"], to_json(parse(run["run"]["config"]))["eval"]
    changes = {field.removeprefix("eval."): value for field, value in result["settings"].items()}
    of_model = {name: changes.get(name, own[name]) for name in OF_THE_MODEL}
    samples = {n: e["k"] for n, e in result["estimators"].items() if e and "k" in e}
    others = {k: v for k, v in asked(result).items() if k != "eval.max_examples"}
    return [*_of(result), result["num_examples"], others, of_model, samples]


def started(command: str | None, workdir: pathlib.Path) -> tuple[str, list[str]]:
    """(config, what was changed of its model or training) by the command that a run was given.

    A run that was started from Python has none, and is called by its folder; a file of a config by
    its name, as it can be given too.
    """
    flags = [word for word in shlex.split(command or "") if word.startswith("--config")]
    configs = [flag.removeprefix("--config=") for flag in flags if flag.startswith("--config=")]
    fields = [flag.removeprefix("--config.") for flag in flags if flag.startswith("--config.")]
    trained = [f for f in fields if f.partition(".")[0].partition("=")[0] not in IDLE]
    changed = [f for f in trained if not f.startswith("data.dir=")]
    path, colon, variant = (configs or [workdir.name])[0].partition(":")
    return pathlib.Path(path).name.removesuffix(".py") + colon + variant, changed


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs, those that differ in their seed alone together, in the order of their names.

    They are evaluated alike. The best checkpoints of two seeds may be of different steps; two of
    one seed are two rows. Configs of older versions have what they lacked.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        whole = to_json(parse(run["run"]["config"]))
        trained = compare.ADDED | compare.flatten({k: whole[k] for k in whole.keys() - IDLE})
        result, hardware = run["result"], run["run"]["hardware"]
        same = json.dumps([trained, question(run), hardware], sort_keys=True)
        if seed_of(run) in map(seed_of, groups.get(same, [])):
            same += f" step {result['step']}"
        groups.setdefault(same, []).append(run)
    return sorted(groups.values(), key=lambda group: [group[0]["config"], *group[0]["changed"]])


def seed_of(run: Run) -> int:
    """The seed of a run."""
    return run["run"]["config"]["seed"]


def estimate(group: Sequence[Run], name: str) -> str:
    """An estimate of a group in words: mean and error, what it is of, and what is against it."""
    found = [run["result"]["estimators"].get(name) for run in group]
    entries = [entry for entry in found if entry]
    if not entries:
        return ""
    mean, error = mean_and_error([entry["nats"]["mean"] for entry in entries])
    error = entries[0]["nats"]["se"] if error is None else error
    about = max(map(qualified, entries), key=len)  # what is against one seed is against the mean
    about += f"; of {len(entries)} seeds" if len(entries) < len(group) else ""
    return f"{with_error(mean, error)} ({about})"


def since(run: Run) -> list[str]:
    """Fields that its config has otherwise today: with them its command is that of the run.

    None is known of a run that is called by its folder, or by a file of a config elsewhere.
    """
    if run["config"].partition(":")[0] not in config.config_names():
        return []
    given = [(field, value) for field, _, value in (f.partition("=") for f in run["changed"])]
    then, now = parse(run["run"]["config"]), config.settings(run["config"], given)
    free = [*compare.FREE_ON_RESUME, "seed"]
    changes = compare.differences(to_json(then), to_json(now), free=free)
    return [f"{field}={before}" for field, (before, _) in changes.items()]


def row(group: Sequence[Run]) -> list[str]:
    """The cells of a group."""
    first, result = group[0]["run"], group[0]["result"]
    seconds = [run["result"]["train_seconds"] for run in group]
    fields = " ".join([*group[0]["changed"], *since(group[0])])
    hardware, count = first["hardware"], first["hardware"]["cores"]
    cores = f"a machine with {count} CPU core{'s' * (count > 1)}"
    where = hardware["kind"] if hardware["kind"] != "cpu" else cores
    steps = sorted({run["result"]["step"] for run in group})
    shown = " to ".join(f"{step:,}" for step in dict.fromkeys((steps[0], steps[-1])))
    spent = f"{mean_and_error(seconds)[0]:,.0f} s on {where}"
    train = first["config"]["train"]
    trained = f"{shown} of {train['steps']:,} steps of {train['batch_size']}, {spent}"
    seeds = ", ".join(str(seed) for seed in sorted(map(seed_of, group)))
    images = f"{result['num_examples']:,} {result['split']}"
    about = [f"`{group[0]['config']}`" + (f" `{fields}`" if fields else ""), seeds, trained, images]
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
    parser = Parser(description=__doc__)
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
    command.run(main)
