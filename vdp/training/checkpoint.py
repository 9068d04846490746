"""Checkpoints through Orbax: the latest few and the best, each with a fingerprint of its leaves.

Orbax restores flipped bytes without an error, so every checkpoint carries a sum over the bits of
each leaf, and a restored state that does not match is refused.
"""

import dataclasses
import functools
import logging
import math
import pathlib
import resource
import shutil
import time
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from vdp.errors import UserError
from vdp.metrics.score import stored
from vdp.training.state import Evaluated, State
from vdp.types import ELBO, Score


class Damaged(Exception):
    """A checkpoint that is there but cannot be trusted."""


def _damaged(step: int) -> Damaged:
    return Damaged(f"checkpoint {step} is damaged (its bits do not match its fingerprint)")


@jax.jit
def _fingerprints(leaves):
    def of(leaf):
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint64}[leaf.dtype.itemsize]
        bits = jax.lax.bitcast_convert_type(leaf, width).astype(jnp.uint32).reshape(-1)
        # integer sums do not depend on their order, so neither on the number of devices
        return jnp.sum(bits * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)

    return [of(leaf) for leaf in leaves]


def fingerprint(tree: Any) -> dict[str, int]:
    """A 32-bit sum of every leaf's bits, weighted by position, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    sums = _fingerprints([leaf for _, leaf in leaves])
    return {jax.tree_util.keystr(path): int(s) for (path, _), s in zip(leaves, sums, strict=True)}


def _cause(error: Exception) -> str:
    """The end of an error's first line, where storage libraries name the reason."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if "structures do not match" in first or "is not compatible with the stored shape" in first:
        return "it holds other parameters than this config and this version of vdp have"
    return first if len(first) <= 120 else f"... {first[-120:]}"


def _quiet_orbax(owner) -> weakref.finalize:
    """Keeps Orbax's messages, also its threads', out of the log: its errors are raised anyway.

    Returns:
      What ends it when it is called; it ends with the owner at the latest.
    """
    logger = logging.getLogger("absl")
    others = lambda record: "orbax" not in pathlib.PurePath(record.pathname).parts
    logger.addFilter(others)
    return weakref.finalize(owner, logger.removeFilter, others)


def _check_room(folder: pathlib.Path, state) -> None:
    """Refuses to start a save that cannot end: Orbax would fail half-way, and noisily."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = math.inf if soft == resource.RLIM_INFINITY else soft
    free = min(shutil.disk_usage(folder).free, limit)
    if needed > free:
        raise UserError(
            f"the checkpoint needs {needed / 2**20:.1f} MiB in {folder} and {free / 2**20:.1f} MiB "
            "can be written: free some space or name another --workdir, and run the command "
            "again; earlier checkpoints are intact"
        )


class Checkpoints:
    """The `checkpoints/` folder of a run.

    Args:
      workdir: of the run.
      score: by which the best one is chosen.
      keep_latest: how many are kept besides the best.
      read_only: whether nothing is written.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        score: Score = ELBO,
        keep_latest: int = 2,
        read_only: bool = False,
    ):
        self.score = score
        of_metrics = functools.partial(stored, score)
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        self._loud = _quiet_orbax(self)
        keep = [
            policy.LatestN(max(keep_latest, 1)),
            policy.BestN(
                get_metric_fn=of_metrics,
                reverse=False,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=None if read_only else policy.AnyPreservationPolicy(keep),
            best_fn=of_metrics,
            best_mode="max",
            read_only=read_only,
            create=not read_only,
        )
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending."""
        return sorted(self.manager.all_steps())

    def best_step(self) -> int | None:
        """The step of the best validation score; the latest where none was validated."""
        best = self.manager.best_step()
        return best if best is not None else self.manager.latest_step()

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
        if step in self.manager.all_steps():
            if not metrics or self.manager.metrics(step):
                return
            self.manager.delete(step)
        _check_room(self.folder, state)
        if jax.default_backend() == "cpu":  # there the asynchronous save would read donated buffers
            state = jax.tree.map(jnp.copy, state)
        items = {
            "state": ocp.args.StandardSave(state),
            "info": ocp.args.JsonSave({"fingerprint": fingerprint(state)}),
        }
        try:
            self.manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)
        except Exception as error:
            raise self._write_error(step, error) from error

    def wait(self) -> None:
        """Blocks until what was started is on disk."""
        try:
            self.manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(self.manager.latest_step(), error) from error

    def _write_error(self, step, error: Exception) -> UserError:
        return UserError(
            f"the checkpoint could not be written to {self.folder} ({_cause(error)}): free some "
            "space or name another --workdir, and run the command again; earlier checkpoints are "
            "intact"
        )

    def restore(self, step: int, template: State) -> State:
        """The state of one step, placed as the template's shardings say.

        Raises:
          Damaged: unreadable, of another model, or its bits do not match the fingerprint.
        """
        state, sums = self._restore(step, ocp.args.StandardRestore(template))
        if fingerprint(state) != sums:
            raise _damaged(step)
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
        found, sums = self._restore(step, args)
        evaluated = Evaluated(**found)
        if not fingerprint(evaluated).items() <= sums.items():
            raise _damaged(step)
        return evaluated

    def _restore(self, step: int, args) -> tuple[Any, dict[str, int]]:
        """(what was asked for, the fingerprint of the whole state)."""
        items = ocp.args.Composite(state=args, info=ocp.args.JsonRestore())
        try:
            restored = self.manager.restore(step, args=items)
        except Exception as error:
            raise Damaged(f"checkpoint {step} cannot be restored ({_cause(error)})") from error
        return restored["state"], restored["info"]["fingerprint"]

    def restore_latest(
        self, template: State, warn: Callable[[str], None] = logging.warning
    ) -> State | None:
        """The newest state that can be trusted, or None where there is no checkpoint at all.

        Raises:
          UserError: there are checkpoints, and none can be used.
        """
        problems = []
        for step in reversed(self.steps):
            try:
                state = self.restore(step, template)
            except Damaged as error:
                problems.append(str(error))
                warn(f"{error}; trying the one before")
                continue
            self._set_aside([later for later in self.steps if later > step])
            return state
        if problems:
            raise UserError(
                f"no checkpoint in {self.folder} can be used with this config: {problems[0]}; "
                "choose another --workdir to start afresh"
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        """Renames damaged checkpoints, so that their steps can be saved again."""
        if not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                (self.folder / str(step)).rename(self.folder / f"damaged-{step}-{time.time_ns()}")
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("vdp: damaged checkpoints are set aside")
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
