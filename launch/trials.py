"""The trials of a search: asked of Optuna, trained in a process each, stopped where they lose."""

import contextlib
import dataclasses
import fcntl
import math
import os
import pathlib
import subprocess
import time
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from launch import points, signals, space
from vdp import config
from vdp.data import datasets
from vdp.errors import STOPPED, UserError
from vdp.flags import Pairs
from vdp.runtime import files, metric_log, sinks
from vdp.settings import Settings, epochs
from vdp.types import Score

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

LOG = "search.log"  # in a trial's folder: what its training says
HELD = "search.lock"  # there too, locked by the search that trains it
POLL = 0.5  # s between two looks at a training
FOLDER, ERROR = "folder", "error"  # of a trial: attributes in the study


class Child:
    """The process of a training, whose words go to a file of its folder."""

    def __init__(self, command: list[str], folder: pathlib.Path):
        folder.mkdir(exist_ok=True)
        self._log = folder / LOG
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=_alone(), preexec_fn=signals.in_child()
            )

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once, unsaved."""
        self._process.kill()

    def code(self, *, wait: bool = False) -> int | None:
        """Its exit code as a shell counts; None while it runs."""
        code = self._process.wait() if wait else self._process.poll()
        return None if code is None else signals.exit_code(code)

    def last_words(self) -> str:
        """Its error, else its last line."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


def _alone() -> dict[str, str]:
    """The environment without what makes a process one of several: searches run beside each other.

    Trials of searches that are the tasks of one Slurm step would join into one program.
    """
    joining = ("SLURM_STEP_NUM_TASKS", "JAX_COORDINATOR_ADDRESS")
    return {name: value for name, value in os.environ.items() if name not in joining}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A study, and what each of its trials is made of.

    Attributes:
      config: NAME or NAME:VARIANT.
      distributions: what each key may be.
      overrides: fields of every trial.
      score: of the validations; the best is a trial's value.
      seed: of the choices.
      study: of Optuna.
      workdir: the search's folder.
      command: what trains one run.
    """

    config: str
    distributions: "Mapping[str, BaseDistribution]"
    overrides: Pairs
    score: Score
    seed: int
    study: "Study"
    workdir: pathlib.Path
    command: list[str]

    def trials(self) -> "list[FrozenTrial]":
        """All that have a folder: others wait, or their search died while it asked for them."""
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if FOLDER in trial.user_attrs]

    def arguments(self, trial: "Trial | FrozenTrial") -> tuple[str, Pairs]:
        """(--config, fields) of a trial."""
        chosen = space.written(trial.params, self.distributions)
        return points.arguments(self.config, chosen, self.overrides)

    def interrupted(self) -> "list[FrozenTrial]":
        """The trials that were begun and not ended, and that no search trains now."""
        found = []
        for trial in self.trials():
            if trial.state == _states().RUNNING:
                with _hold(self.workdir / trial.user_attrs[FOLDER]) as free:
                    found += [trial] * free
        return found

    def run(self, most: int, stop: types.SimpleNamespace) -> bool:
        """Trains the next trial until it is done or loses, and says what becomes of it.

        Args:
          most: trials in all.
          stop: of `launch.signals.stopping`.

        Returns:
          False where there was none left.
        """
        with contextlib.ExitStack() as held:
            trial = self._next(most, held)
            if trial is not None:
                self._train(trial, self.workdir / trial.user_attrs[FOLDER], stop)
        return trial is not None

    def _next(self, most: int, held: contextlib.ExitStack) -> "Trial | None":
        """A trial that was interrupted, as it was, or a new one; its folder is `held`."""
        with files.lock(self.workdir, wait=True):
            for asked in self.study.get_trials(deepcopy=False, states=[_states().RUNNING]):
                if FOLDER not in asked.user_attrs:  # by a search that died before it had all of it
                    self.study.tell(asked.number, state=_states().FAIL)
            for left in self.interrupted():
                if held.enter_context(_hold(self.workdir / left.user_attrs[FOLDER])):
                    return space.optuna().trial.Trial(self.study, left._trial_id)
            if len(self.trials()) >= most:
                return None
            trial = self._ask()
            held.enter_context(_hold(self.workdir / trial.user_attrs[FOLDER]))
            return trial

    def _ask(self) -> "Trial":
        """The next trial; its choices hang on the seed and on what there was before it."""
        count = len(self.study.get_trials(deepcopy=False))
        (seed,) = np.random.SeedSequence([self.seed, count]).generate_state(1)
        sampler = space.optuna().samplers.TPESampler
        self.study.sampler = sampler(seed=int(seed), constant_liar=True)
        trial = self.study.ask(dict(self.distributions))
        trial.set_user_attr(FOLDER, f"trial-{trial.number:04d}")  # all its choices are made
        return trial

    def _train(self, trial: "Trial", folder: pathlib.Path, stop: types.SimpleNamespace) -> None:
        argument, fields = self.arguments(trial)
        chosen = space.written(trial.params, self.distributions).items()
        of_it = ", ".join(f"{k.removeprefix('config.')}={v}" for k, v in chosen)
        points.say(f"{folder.name}: {of_it}")
        try:
            steps = in_steps(config.settings(argument, fields)).train.steps
        except UserError as error:
            return self._failed(trial, str(error))
        while files.in_use(folder) and not stop.requested:  # by one whose search has just died
            time.sleep(POLL)
        argv = [f"--config={argument}", f"--workdir={folder}", "--config.eval.estimators=()"]
        argv += [f"--config.{field}={text}" for field, text in fields]
        stop.child = child = Child([*self.command, *argv], folder)
        if stop.requested:  # before there was a child to tell
            child.stop()
        code = self._watch(trial, child, folder, steps)
        if code is None or code == STOPPED or (code and stop.requested):
            return  # given up, or interrupted: whoever comes next goes on with it
        scores = [score for _, score in self._validations(folder) if math.isfinite(score)]
        if code or not scores:
            self._failed(trial, child.last_words() if code else "no validation has a number")
        else:
            best = max(scores, key=lambda score: self.score.sign * score)
            self.study.tell(trial, best)
            self._say(folder, "done", best)

    def _watch(self, trial: "Trial", child: Child, folder: pathlib.Path, steps: int) -> int | None:
        """Reports every validation of a training; stops it where its peers were better.

        Validations that were reported before it was interrupted are not judged again.

        Returns:
          How the training ended; None: it was given up.
        """
        before = next(t for t in self.trials() if t.number == trial.number).intermediate_values
        scores: list[float] = []
        while True:
            code = child.code()  # before the file is read, which is then complete
            found = self._validations(folder)
            for step, score in found[len(scores) :]:
                scores.append(score)
                if len(scores) in before:
                    continue
                trial.report(score, len(scores))
                over = step >= steps or (code is not None and len(scores) == len(found))
                if trial.should_prune() and not over:
                    child.stop()
                    child.code(wait=True)
                    self.study.tell(trial, state=_states().PRUNED)
                    self._say(folder, f"given up at step {step}", score)
                    return None
            if code is not None:
                return code
            time.sleep(POLL)

    def _validations(self, folder: pathlib.Path) -> list[tuple[int, float]]:
        """[(step, score), ...] of a training so far, without that of its start; NaN for none."""
        lines = metric_log.read_metrics(folder / sinks.METRICS_FILE)
        name = f"eval/{self.score.name}"
        found = [(line["step"], line[name]) for line in lines if line["step"] and name in line]
        return [(step, math.nan if score is None else score) for step, score in found]

    def _say(self, folder: pathlib.Path, what: str, score: float) -> None:
        shown = self.score
        points.say(f"{folder.name}: {what}, {shown.name} {score:.5g} {shown.unit}")

    def _failed(self, trial: "Trial", error: str) -> None:
        trial.set_user_attr(ERROR, error)
        self.study.tell(trial, state=_states().FAIL)
        points.say(f"{trial.user_attrs[FOLDER]}: failed: {error}")


def in_steps(settings: Settings) -> Settings:
    """The settings of a training, every length of which is in steps.

    Raises:
      UserError: there are no validation images.
    """
    counts = datasets.split_counts(datasets.describe(settings.data), settings.data)
    if counts.get("validation") == 0:
        raise UserError("a search needs validation images: set data.num_validation")
    return epochs.resolve(settings, counts["train"]) if counts else settings


@contextlib.contextmanager
def _hold(folder: pathlib.Path) -> Iterator[bool]:
    """Whether no search trains in the folder; until the block ends, this one then does."""
    folder.mkdir(exist_ok=True)
    with open(folder / HELD, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _states() -> Any:
    return space.optuna().trial.TrialState
