"""Command line: fields of a config chosen by their validation score, weak trials given up early."""

import argparse
import csv
import io
import json
import pathlib
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from launch import points, space
from launch.points import say
from launch.signals import stopping
from launch.trials import ERROR, FOLDER, Search, in_steps
from vdp import build, config
from vdp.data import datasets
from vdp.errors import STOPPED, Parser, UserError
from vdp.flags import Pairs, split
from vdp.metrics.score import score_of
from vdp.record import RUN_FILE
from vdp.runtime import files, markdown, terminal
from vdp.runtime.progress import duration
from vdp.settings import Settings
from vdp.settings.compare import FREE_ON_RESUME, differences
from vdp.settings.parse import parse as parsed
from vdp.settings.parse import to_json

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RECORD, JOURNAL = "search.json", "study.log"  # of a search's folder
EPILOG = """\
KEY of --space is a field (optim.learning_rate) or a key of the config's variant (prior). It may be
  log(A,B)      a number, uniform in its logarithm      logint(A,B)  a whole one
  uniform(A,B)  a number                                int(A,B)     a whole one
  VALUE,VALUE   one of a list

A trial is a run in a folder of its own, trained with the schedule of its whole length and judged by
its score on validation images; no number of the test split is used. After --first validations only
the best one of --factor trials goes on, after --factor times as many one of these, and so forth
(asynchronous successive halving); what is tried next is proposed by Optuna's TPE sampler. The same
command again continues, with more --trials too. Several of them in one folder, also on machines
that share it, work side by side.

example:
  python -m launch.search --config=digits_vae --trials=20 --config.eval.every=200 \\
      '--space=optim.learning_rate=log(1e-4,1e-2)' --space=prior=normal,vdm

exit codes: 0 done; 1 no trial was done; 2 something you can mend, in one sentence; 143 stopped
"""


def parse(argv: list[str]) -> tuple[argparse.Namespace, Pairs]:
    """(flags, overrides [(field, text)])."""
    parser = Parser(
        prog="python -m launch.search",
        description="Searches fields of a config for the best validation score.",
        epilog=EPILOG,
    )
    parser.add_argument("--config", help="a config file or name, with an optional :VARIANT")
    parser.add_argument("--space", action="append", default=[], metavar="KEY=VALUES")
    parser.add_argument("--trials", type=int, default=20, help="in all; default 20")
    parser.add_argument("--first", type=int, default=1, help="validations; default 1")
    parser.add_argument("--factor", type=int, default=3, help="of halving; default 3")
    parser.add_argument("--seed", type=int, default=0, help="of the choices; default 0")
    parser.add_argument("--workdir", help="the search's folder; default runs/search-<config>")
    parser.add_argument("--config.FIELD", metavar="VALUE", help="passed on to every run")
    rest, given = split(argv, ("config",))
    flags = parser.parse_args(rest)
    for name, least in (("trials", 1), ("first", 1), ("factor", 2), ("seed", 0)):
        if getattr(flags, name) < least:
            raise UserError(f"--{name}={getattr(flags, name)} has to be at least {least}")
    return flags, given["config"]


def plan(flags: argparse.Namespace, overrides: Pairs, command: list[str]) -> Search:
    """The search, every value of its space checked, the study opened or begun.

    Raises:
      UserError: a space, a variant or a field that cannot be, no validation images, or a folder of
        another search; nothing has been started.
    """
    if not flags.config:
        names = ", ".join(config.config_names())
        raise UserError(f"--config is missing: a file or one of {names}; see --help")
    distributions = space.parse(flags.space)
    for key in {"config.eval.every", "config.eval.every_epochs"} & distributions.keys():
        raise UserError(f"{key} has to be the same for all trials: they are compared there")
    points.check_overrides("--space", list(distributions), overrides)
    given = distributions.keys() | {f"config.{field}" for field, _ in overrides}
    if "config.eval.estimators" in given:
        raise UserError("a search evaluates nothing: leave config.eval.estimators out")
    values = {key: space.tried(distribution) for key, distribution in distributions.items()}
    first = {key: of_it[0] for key, of_it in values.items()}
    every = [first] + [first | {key: v} for key, of_it in values.items() for v in of_it[1:]]
    resolved = []
    for chosen in every:
        texts = space.written(chosen, distributions)
        settings = config.settings(*points.arguments(flags.config, texts, overrides))
        resolved.append(in_steps(settings))
    workdir = search_folder(flags)
    if not (workdir / RECORD).exists():  # else it has begun, and its flags stay
        _check_warmups(resolved, flags.first)
    if (workdir / RUN_FILE).exists():
        raise UserError(f"{workdir} is the folder of a run: name another --workdir")
    facts = datasets.describe(settings.data)
    score = score_of(build.assemble(settings.model, facts))  # without a device: trials need them
    if not score.chooses:
        raise UserError(
            "a search has nothing to choose by: the bound of a student falls as its samples get "
            "better"
        )
    files.prepare(workdir)
    goal = "maximize" if score.sign > 0 else "minimize"
    return Search(
        config=flags.config,
        distributions=distributions,
        overrides=overrides,
        score=score,
        seed=flags.seed,
        study=_study(flags, overrides, resolved, workdir, goal),
        workdir=workdir,
        command=command,
    )


def _check_warmups(every: Sequence[Settings], first: int) -> None:
    """Refuses a first judgement within KL warm-ups that trials do not share; UserError.

    A longer one has the lower bound there, whatever it comes to.
    """
    warmups = [settings.kl_warmup for settings in every]
    longest, validated = max(warmups), every[0].eval.every
    if min(warmups) < longest and first * validated < longest:
        raise UserError(
            f"the first trials would be given up after step {first * validated:,}, within a KL "
            f"warm-up of {longest:,} steps that others do not have: judge them later, by "
            f"--first={-(-longest // validated)}"
        )


def search_folder(flags: argparse.Namespace) -> pathlib.Path:
    """--workdir, or runs/search-<config>[-<variant>]."""
    default = config.default_workdir(flags.config or "")
    return files.located(flags.workdir or default.with_name(f"search-{default.name}"))


def _study(
    flags: argparse.Namespace,
    overrides: Pairs,
    resolved: Sequence[Settings],
    workdir: pathlib.Path,
    goal: str,
) -> "Study":
    """The study in the folder; UserError where it is one of another command, or another config.

    Args:
      flags: of the command line.
      overrides: of the config's fields.
      resolved: what values of the space come to, the first ones and every other beside these.
      workdir: of the search.
      goal: "maximize" or "minimize".
    """
    asked = {k: v for k, v in vars(flags).items() if k not in ("trials", "workdir")}
    asked |= {"overrides": overrides, "settings": [to_json(settings) for settings in resolved]}
    asked = json.loads(json.dumps(asked))  # as it is read again
    with files.lock(workdir, wait=True):
        if (workdir / RECORD).exists():
            begun = files.read_json(workdir / RECORD, RECORD)
            before = begun.pop("settings", [])  # of a search of version 0.1 they are not known
            del asked["settings"]
            if begun != asked:
                raise UserError(
                    f"{workdir} holds a search with other flags (see {RECORD} there): repeat "
                    "those, or name another --workdir"
                )
            for then, now in zip(before, resolved, strict=False):
                _check_same(workdir, parsed(then), now)
        else:
            files.write_json(workdir / RECORD, asked)
        return _opened(flags, workdir / JOURNAL, goal)


def _check_same(workdir: pathlib.Path, then: Settings, now: Settings) -> None:
    """Refuses a config that is another one than at the start of a search; UserError."""
    before, after = to_json(then), to_json(now)
    changes = differences(before, after, free=FREE_ON_RESUME)
    changes |= differences(before, after, only=("eval.every", "train.patience"))
    if changes:
        told = ", ".join(f"{k} was {a!r}, now {b!r}" for k, (a, b) in changes.items())
        raise UserError(
            f"{workdir} holds a search of another config ({told}): trials of the two cannot be "
            "ranked together; name another --workdir"
        )


def _opened(flags: argparse.Namespace, path: pathlib.Path, goal: str) -> "Study":
    library = space.optuna()
    halving = library.pruners.SuccessiveHalvingPruner(
        min_resource=flags.first, reduction_factor=flags.factor
    )
    try:
        # absolute: its lock is a link to the file, which would be sought beside the lock
        journal = library.storages.journal.JournalFileBackend(str(path.absolute()))
        return library.create_study(
            study_name="search",
            storage=library.storages.JournalStorage(journal),
            pruner=halving,
            direction=goal,
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError) as error:  # of lines that are none of a journal
        raise UserError(
            f"{path} is damaged ({error}): remove its last line or lines, or name another "
            "--workdir; what was trained stays"
        ) from error


def ranked(search: Search) -> "list[FrozenTrial]":
    """The trials: the best that are done first, then those given up the latest, then others."""
    sign, order = -search.score.sign, ["COMPLETE", "PRUNED"]

    def key(trial: "FrozenTrial") -> tuple:
        reached = trial.intermediate_values
        last = reached[max(reached)] if reached else 0.0
        value = last if trial.value is None else trial.value
        name = trial.state.name
        place = order.index(name) if name in order else len(order)
        furthest = 0 if name == "COMPLETE" else -max(reached, default=0)
        return place, furthest, sign * value

    return sorted(search.trials(), key=key)


def write(search: Search) -> list[str]:
    """Writes search.md and search.csv; returns the lines of the table."""
    keys = list(search.distributions)
    heads = ["trial", *(k.removeprefix("config.") for k in keys), "validations"]
    heads += [f"{search.score.name}, {search.score.unit}".rstrip(", "), "end"]
    rows = []
    for trial in ranked(search):
        chosen = space.written(trial.params, search.distributions)
        value = "" if trial.value is None else f"{trial.value:.5g}"
        ended = {"COMPLETE": "done", "PRUNED": "given up"}.get(trial.state.name)
        end = ended or trial.user_attrs.get(ERROR, trial.state.name.lower())
        folder = trial.user_attrs.get(FOLDER, str(trial.number))
        values = [chosen.get(key, "") for key in keys]
        rows.append([folder, *values, str(len(trial.intermediate_values)), value, end])
    lines = markdown.table(heads, [[markdown.cell(cell) for cell in row] for row in rows])
    files.write_text(search.workdir / "search.md", "\n".join(lines) + "\n")
    table = io.StringIO(newline="")
    csv.writer(table).writerows([heads, *rows])
    files.write_text(search.workdir / "search.csv", table.getvalue())
    return lines


def _dispatch(argv: list[str], command: list[str]) -> int:
    flags, overrides = parse(argv)
    search = plan(flags, overrides, command)
    begun, before = time.monotonic(), len(search.trials())
    with files.lock(search.workdir, wait=True):  # a trial that is looked at cannot be begun
        left = len(search.interrupted())
    say(f"{search.workdir}: {before - left} trials before, {left} to be continued")
    with stopping() as stop:
        while search.run(flags.trials, stop) and not stop.requested:
            pass
    lines = write(search)
    if stop.requested:
        say(f"stopped; the same command continues; {search.workdir}/search.md")
        return STOPPED
    print("\n".join(lines[:12]))
    say(
        f"{len(lines) - 2} trials, {duration(time.monotonic() - begun)}: {search.workdir}/search.md"
    )
    best = ranked(search)[0]
    if best.state.name != "COMPLETE":
        return 1
    argument, fields = search.arguments(best)
    words = [f"--config={argument}", *(f"--config.{field}={text}" for field, text in fields)]
    say(f"the best: python -m vdp.main {shlex.join(words)}")
    return 0


run = points.program(_dispatch)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(run(sys.argv[1:]))
