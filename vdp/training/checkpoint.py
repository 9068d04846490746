"""Checkpoints through Orbax: the latest few and the best, each with a fingerprint of its leaves.

Orbax restores flipped bytes without an error, so every checkpoint carries a sum over the bits of
each leaf, and a restored state that does not match is refused.
"""

import dataclasses
import functools
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from vdp.errors import UserError
from vdp.metrics.score import stored
from vdp.runtime import files, parallel
from vdp.training.fingerprint import fingerprint
from vdp.training.state import Evaluated, State
from vdp.training.storage import (
    REPLACED,
    Manager,
    cause,
    check_room,
    end_replacements,
    quiet_orbax,
)
from vdp.types import ELBO, Score

FOLDER = "checkpoints"  # in the run's


class Damaged(Exception):
    """A checkpoint that is there but cannot be trusted."""


def saved_steps(workdir: pathlib.Path) -> list[int]:
    """The steps of complete checkpoints in a workdir, ascending; nothing is opened."""
    folder = workdir / FOLDER
    entries = folder.iterdir() if folder.is_dir() else ()
    names = {entry.name.removeprefix(REPLACED) for entry in entries}
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _check(step: int, restored: State | Evaluated, sums: dict[str, Any]) -> None:
    """Raises Damaged where a restored state is not the one that was saved at this step."""
    if not fingerprint(restored).items() <= sums.items():
        raise Damaged(f"checkpoint {step} is damaged (its bits do not match its fingerprint)")
    if int(restored.step) != step:
        raise Damaged(f"checkpoint {step} is damaged (it holds the state of {int(restored.step)})")


def _await_all(what: str) -> None:
    """Waits until every process of this program has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


class Checkpoints:
    """The `checkpoints/` folder of a run.

    Args:
      workdir: of the run.
      score: by which the best one is chosen.
      keep_latest: how many are kept besides the best.
      read_only: whether nothing is written.
      warn: hears of what cannot be used, where there is something else to go on with.

    Raises:
      UserError: there is something of its name that is no folder.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        score: Score = ELBO,
        keep_latest: int = 2,
        read_only: bool = False,
        warn: Callable[[str], None] = logging.getLogger("vdp").warning,
    ):
        self.score = score
        self._warn = warn
        self.folder = pathlib.Path(workdir).absolute() / FOLDER
        files.check_name(self.folder)
        files.check_folder(self.folder)  # Orbax would fail, and its threads not end
        self._writes = not read_only and parallel.is_writer()
        if self._writes:
            end_replacements(self.folder)
        if not read_only:
            _await_all("vdp: checkpoints are found")
        self._loud = quiet_orbax(self)
        self.manager = Manager(
            self.folder,
            functools.partial(stored, score),
            keep_latest=keep_latest,
            read_only=read_only,
        )

    @property
    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending."""
        return sorted(self.manager.all_steps())

    def best_step(self) -> int | None:
        """The step of the best validation score; the latest without one, or where none counts."""
        self._warn_of_lost()
        best = self.manager.best_step() if self.score.chooses else None
        return best if best is not None else self.manager.latest_step()

    def _warn_of_lost(self) -> None:
        if self.manager.lost:
            listed = ", ".join(map(str, sorted(self.manager.lost)))
            self._warn(
                f"the score of checkpoint {listed} in {self.folder} cannot be read: "
                "best is chosen without it"
            )

    def save(self, state: State, *, metric: float | None) -> None:
        """Starts saving; an existing step is left as it is, but for a metric that it lacked.

        Args:
          state: a `State`; its buffers may be donated as soon as this returns.
          metric: the validation's score, higher is better; None where there was none.

        Raises:
          UserError: the disk is full or the folder cannot be written.
        """
        step = int(state.step)
        metrics = None
        if metric is not None and np.isfinite(metric):
            metrics = {self.score.name: self.score.sign * float(metric)}
        exists = step in self.manager.all_steps()
        if exists and (not metrics or self.manager.metrics(step)):
            return
        check_room(self.folder, state)  # before anything goes
        if exists:
            self.wait()
            self._rename([step], lambda step: f"{REPLACED}{step}")  # until the new one is whole
        if jax.default_backend() == "cpu":  # there the asynchronous save would read donated buffers
            state = jax.tree.map(jnp.copy, state)
        items = {
            "state": ocp.args.StandardSave(state),
            "info": ocp.args.JsonSave({"fingerprint": fingerprint(state)}),
        }
        try:
            self.manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)
        except Exception as error:
            raise self._write_error(error) from error
        if exists:  # its score is logged when this returns: the checkpoint has it by then
            self.wait()
            if self._writes:
                end_replacements(self.folder)

    def wait(self) -> None:
        """Blocks until what was started is on disk."""
        try:
            self.manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(error) from error

    def _write_error(self, error: Exception) -> UserError:
        return UserError(
            f"the checkpoint could not be written to {self.folder} ({cause(error)}): free some "
            "space or name another workdir, and run the command again; earlier checkpoints are "
            "intact"
        )

    def restore(self, step: int, template: State) -> State:
        """The state of one step, placed as the template's shardings say.

        Raises:
          Damaged: unreadable, of another model or step, or its bits do not match the fingerprint.
        """
        state, sums = self._restore(step, ocp.args.StandardRestore(template))
        _check(step, state, sums)
        return state

    def restore_evaluated(self, step: int, template: Evaluated) -> Evaluated:
        """The part of the state of one step that is evaluated; nothing else of it is read.

        Raises:
          Damaged: as of `restore`.
        """
        fields = {
            field.name: getattr(template, field.name) for field in dataclasses.fields(template)
        }
        how = ocp.checkpoint_utils.construct_restore_args(fields)
        args = ocp.args.PyTreeRestore(item=fields, restore_args=how, partial_restore=True)
        restored, sums = self._restore(step, args)
        evaluated = Evaluated(**restored)
        _check(step, evaluated, sums)
        return evaluated

    def _restore(self, step: int, args: ocp.args.CheckpointArgs) -> tuple[Any, dict[str, Any]]:
        """(what was asked for, the fingerprint of the whole state)."""
        items = ocp.args.Composite(state=args, info=ocp.args.JsonRestore())
        try:
            restored = self.manager.restore(step, args=items)
            return restored["state"], dict(restored["info"]["fingerprint"])
        except Exception as error:
            raise Damaged(f"checkpoint {step} cannot be restored ({cause(error)})") from error

    def restore_latest(self, template: State) -> State | None:
        """The newest state that can be trusted, or None where there is no checkpoint at all.

        Raises:
          UserError: there are checkpoints, and none can be used.
        """
        self._warn_of_lost()
        problems, latest = [], self.steps[::-1]
        for index in range(parallel.of_writer(len(latest))):
            step = parallel.of_writer(latest[index] if index < len(latest) else 0)
            self.check_seen(step)
            state, problem = None, f"checkpoint {step} is damaged for another process"
            try:
                state = self.restore(step, template)
            except Damaged as error:
                problem = str(error)
            if parallel.agreed(state is None) or state is None:  # a disk may fail one alone
                problems.append(problem)
                self._warn(f"{problem}; trying the one before")
                continue
            self._set_aside([later for later in self.steps if later > step])
            return state
        if problems:
            raise UserError(
                f"no checkpoint in {self.folder} can be used with this config: {problems[0]}; "
                "choose another workdir to start afresh"
            )
        return None

    def check_seen(self, step: int) -> None:
        """Refuses a checkpoint that not all processes see, as on file systems that tell late.

        Raises:
          UserError: in all of them.
        """
        if parallel.agreed(step not in self.steps):
            raise UserError(
                f"not all processes see checkpoint {step} in {self.folder}: run the command again"
            )

    def _set_aside(self, steps: list[int]) -> None:
        """Renames damaged checkpoints, so that their steps can be saved again."""
        if steps:
            self._rename(steps, lambda step: f"damaged-{step}-{time.time_ns()}")

    def _rename(self, steps: list[int], name: Callable[[int], str]) -> None:
        if parallel.is_writer():
            for step in steps:
                (self.folder / str(step)).rename(self.folder / name(step))
        _await_all("vdp: checkpoints are renamed")
        self.manager.reload()

    def resolve(self, which: str | int) -> int:
        """The step meant by "best", "latest" or a number; UserError where there is none."""
        if not self.steps:
            raise UserError(f"there is no checkpoint in {self.folder}: train first")
        if which == "best":
            best = self.best_step()
            assert best is not None  # there is one
            return best
        if which == "latest":
            return self.steps[-1]
        if not str(which).isdigit() or int(which) not in self.steps:
            listed = ", ".join(map(str, self.steps))
            raise UserError(f"no checkpoint {which!r} in {self.folder}: best, latest, {listed}")
        return int(which)

    def close(self) -> None:
        """Waits and lets go of the folder."""
        self.wait()
        self.manager.close()
        self._loud()
