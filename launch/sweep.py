"""Command line: one run per grid point and seed, then one table that compares the points."""

import argparse
import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
import sys
import time

from launch import plot, points, slurm, table
from launch.points import say
from launch.signals import stopping
from vdp import config
from vdp.errors import STOPPED, Parser, UserError, choose_from, whole_number
from vdp.evaluation import naming
from vdp.flags import split
from vdp.record import read_run
from vdp.runtime import files, sources, terminal
from vdp.runtime.progress import duration
from vdp.settings import Settings, epochs
from vdp.settings import compare as compared

LAUNCHERS = ("local", "slurm", "submitit-local")
ESTIMATORS = "elbo,elbo_discrete,iwae,fid"
POLL = 0.5  # s between two looks at a training of others
LONGEST = 200  # bytes of a folder's name; file systems take 255
EPILOG = """\
KEY of --grid is a key of the config's variant (prior) or, with a dot, a field (config.model.beta);
several --grid make all combinations. The same command again continues: finished runs are skipped.

launchers:
  local           one run after another on this machine
  slurm           an array of jobs through submitit, requeued when --slurm.timeout_min (60) is over
  submitit-local  the jobs slurm would get, all at once on this machine

examples:
  python -m launch.sweep --config=digits_vae --grid=prior=normal,vdm --seeds=0,1,2
  python -m launch.sweep --config=digits_vae:smoke --grid=config.optim.learning_rate=1e-3,3e-4
  python -m launch.sweep --config=cifar10_vae --grid=prior=normal,vdm --config.train.steps=5000 \\
      --launcher=slurm --slurm.partition=gpu --slurm.gpus_per_node=1 --slurm.timeout_min=600
  python -m launch.sweep --workdir=runs/sweep-cifar10_vae --table-only

exit codes: 0 done; 1 a run failed; 2 something you can mend, said in one sentence; 143 stopped
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: a grid point with a seed, its folder, and the arguments of `vdp.main`.

    `settings` are what these come to: a config, like a component, may have changed since a training
    ended.
    """

    point: dict[str, str]
    seed: int
    folder: pathlib.Path
    argv: tuple[str, ...]
    settings: Settings

    @property
    def name(self) -> str:
        """The folder inside the sweep's."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def record(self, exit_code: int | None = None, error: str | None = None) -> None:
        """Writes sweep.json; an exit code of None means not ended yet."""
        about = {"argv": list(self.argv), "point": self.point, "seed": self.seed}
        end = {"exit_code": exit_code, "error": error}
        files.write_json(self.folder / table.RECORD, about | end)

    def result(self) -> table.Result:
        """What the folder holds now."""
        return table.read(self.folder, self.point, self.seed)

    def begun_with(self) -> list[str] | None:
        """The arguments it was last started or submitted with; None where it was not."""
        return self.result().record.get("argv")

    def finished(self) -> bool:
        """Whether this run is done, with these arguments, config and code of its components.

        Whether its images are the same is seen where it is started again.
        """
        found = self.result()
        done = found.status == "finished" and self.begun_with() == list(self.argv)
        if not done or (both := self._stored()) is None or sources.changed(self.folder):
            return False
        stored, planned = both
        lengths = [(s.train.steps, s.train.seconds, s.train.patience) for s in (stored, planned)]
        return lengths[0] == lengths[1] and naming.answered(found.values, planned)

    def check(self) -> None:
        """Refuses another config than that of the finished run in the folder; UserError.

        Started again, the run would be refused, and its numbers would leave the table.
        """
        if self.result().status != "finished" or (both := self._stored()) is None:
            return
        try:
            compared.check_resumable(*both, run=str(self.folder))
        except UserError as error:
            raise UserError(f"{self.name} is finished, and {error}") from error

    def _stored(self) -> tuple[Settings, Settings] | None:
        """(settings that the folder holds, those of this run).

        None where config.json is damaged, which `vdp.main` says.
        """
        try:
            record = read_run(self.folder)
        except UserError:
            return None
        return record.settings, epochs.resolve(self.settings, record.counts.get("train", 1))


def parse(
    argv: list[str],
) -> tuple[argparse.Namespace, list[tuple[str, str]], dict[str, str]]:
    """Returns (flags, overrides [(field, text)], options of Slurm {key: text})."""
    parser = Parser(
        prog="python -m launch.sweep",
        description="Trains one config over a grid of variants, fields and seeds, and compares.",
        epilog=EPILOG,
    )
    parser.add_argument("--config", help="a config file or name, with an optional :VARIANT")
    parser.add_argument("--grid", action="append", default=[], metavar="KEY=VALUE,...")
    parser.add_argument("--seeds", default="0", help="integers, as 0,1,2; default 0")
    parser.add_argument("--workdir", help="the sweep's folder; default runs/sweep-<config>")
    parser.add_argument("--launcher", default="local", help=f"one of {', '.join(LAUNCHERS)}")
    parser.add_argument("--wait", action="store_true", help="wait for the jobs, then the table")
    parser.add_argument("--table-only", action="store_true", help="compare what is there")
    parser.add_argument("--config.FIELD", metavar="VALUE", help="passed on to every run")
    parser.add_argument("--slurm.KEY", metavar="VALUE", help="of submitit, as partition")
    rest, given = split(argv, ("config", "slurm"))
    flags = parser.parse_args(rest)
    if flags.launcher not in LAUNCHERS:
        raise choose_from("launcher", flags.launcher, LAUNCHERS)
    if given["slurm"] and flags.launcher == "local":
        raise UserError(f"--slurm.{given['slurm'][0][0]} needs --launcher=slurm")
    return flags, given["config"], dict(given["slurm"])


def parse_grid(texts: list[str]) -> dict[str, list[str]]:
    """{"prior": ["normal", "vdm"], "config.model.beta": ["0.5", "1"]} of the --grid flags."""
    grid = {}
    for key, listed in points.keyed("--grid", texts).items():
        values = points.split_values(listed)
        if not key or not all(values):
            raise UserError(
                f"--grid={key}={listed} needs the form KEY=VALUE,VALUE without empty values"
            )
        if len(set(values)) < len(values):
            raise UserError(f"--grid={key}={listed} names a value twice")
        grid[key] = values
    if not grid:
        raise UserError("--grid is missing: what to compare, as --grid=prior=normal,vdm")
    return grid


def parse_seeds(text: str) -> list[int]:
    """[0, 1] of "0,1"; UserError where they are none, or none that a run can have."""
    try:
        seeds = [whole_number(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--seeds={text} needs integers, as 0,1,2") from error
    for seed in seeds:
        Settings(seed=seed)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds={text} names a seed twice")
    return seeds


def plan(flags: argparse.Namespace, overrides: list[tuple[str, str]]) -> list[Run]:
    """All runs, seeds innermost, every config checked.

    Raises:
      UserError: a grid, seeds, a variant or a field that cannot be; nothing has been started.
    """
    if not flags.config:
        names = ", ".join(config.config_names())
        raise UserError(f"--config is missing: a file or one of {names}; see --help")
    grid, seeds = parse_grid(flags.grid), parse_seeds(flags.seeds)
    given = {f"config.{field}" for field, _ in overrides}
    if "config.seed" in given | grid.keys():
        raise UserError("config.seed is what --seeds sets: use that")
    points.check_overrides("--grid", list(grid), overrides)
    chooses = "config.eval.estimators" in given | grid.keys()
    runs = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        argument, fields = points.arguments(flags.config, chosen, overrides)
        settings = config.settings(argument, fields)
        if settings.eval.estimators and not chooses:  # else there is nothing to estimate
            fields.append(("eval.estimators", ESTIMATORS))
            settings = config.settings(argument, fields)
        point = {key.removeprefix("config."): value for key, value in chosen.items()}
        for seed in seeds:
            workdir = sweep_folder(flags) / folder_name(point) / f"seed-{seed}"
            argv = [f"--config={argument}", f"--workdir={workdir}", f"--config.seed={seed}"]
            argv += [f"--config.{field}={text}" for field, text in fields]
            runs.append(Run(point, seed, workdir, tuple(argv), settings.replace(seed=seed)))
    return runs


def folder_name(point: dict[str, str]) -> str:
    """The folder of a grid point: another one for every other point.

    What a folder's name cannot hold is written as in a URL; what is too long ends in a hash.
    """
    text = ",".join(f"{key}={value}" for key, value in point.items())
    name = re.sub(r"[%/\\\x00-\x1f]", lambda match: f"%{ord(match[0]):02X}", text)
    if len(os.fsencode(name)) <= LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    return os.fsencode(name)[: LONGEST - 13].decode(errors="ignore") + f"-{digest}"


def sweep_folder(flags: argparse.Namespace) -> pathlib.Path:
    """--workdir, or runs/sweep-<config>[-<variant>]."""
    default = config.default_workdir(flags.config or "")
    return files.located(flags.workdir or default.with_name(f"sweep-{default.name}"))


def run_here(runs: list[Run], skipped: int, command: list[str]) -> bool:
    """Runs one after another, `skipped` more are done; returns whether all had their turn."""
    started, total = time.monotonic(), skipped + len(runs)
    with stopping() as stop:
        for done, run in enumerate(runs):
            elapsed = time.monotonic() - started
            left = elapsed / max(done, 1) * (len(runs) - done)
            times = f" ({duration(elapsed)} so far, about {duration(left)} left)" if done else ""
            say(f"{run.name}: run {skipped + done + 1} of {total}{times}")
            if files.in_use(run.folder):  # by one whose sweep has just died, until it has saved
                say(f"{run.name}: waiting for another process that trains there")
            while files.in_use(run.folder) and not stop.requested:
                time.sleep(POLL)
            stop.child = child = slurm.Child(run, command)
            if stop.requested:  # before there was a child to tell
                child.stop()
            if child.wait() == STOPPED or stop.requested:
                say("stopped; the same command continues")
                return False
    say(f"{len(runs)} runs in {duration(time.monotonic() - started)}")
    return True


def compare(workdir: pathlib.Path, results: list[table.Result]) -> int:
    """Writes and prints the table, names what failed, and returns the exit code."""
    print(table.write(workdir, results))
    plot.draw(workdir / "results.png", results)
    say(", ".join(str(path) for path in sorted(workdir.glob("results.*"))))
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        say("failed: {}: exit code {exit_code}: {error}".format(result.name, **result.record))
    return 1 if failed else 0


def _launch(runs: list[Run], workdir: pathlib.Path, flags, options, command) -> int | None:
    """Brings the runs to their end; returns an exit code where there is no table to write yet."""
    with files.opened(workdir, made=(), in_use=lambda: True):  # no run is taken away
        for run in runs:
            run.check()
        todo = [run for run in runs if not run.finished()]
        skipped = len(runs) - len(todo)
        say(f"{workdir}: {len(runs)} runs, {skipped} of them finished before")
        if flags.launcher == "local":
            return None if run_here(todo, skipped, command) else STOPPED
        jobs = slurm.submit(todo, command, workdir, flags.launcher, options)
        if flags.wait:
            slurm.wait(jobs, flags.launcher)
            return None
    say("when they have ended, the same command with --table-only compares them")
    return 0


def _dispatch(argv: list[str], command: list[str]) -> int:
    flags, overrides, options = parse(argv)
    workdir = sweep_folder(flags)
    there = table.read_all(workdir) if flags.table_only else None
    if there and flags.workdir and not flags.grid:
        return compare(workdir, there)
    runs = plan(flags, overrides)
    code = None if there else _launch(runs, workdir, flags, options, command)
    return compare(workdir, [run.result() for run in runs]) if code is None else code


run = points.program(_dispatch)


if __name__ == "__main__":
    from launch import sweep  # under its own name, by which jobs find Run again

    terminal.prepare()
    sys.exit(sweep.run(sys.argv[1:]))
