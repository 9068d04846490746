"""The trials of a search: asked of Optuna, trained in a process each, stopped where they lose."""

import contextlib
import dataclasses
import fcntl
import math
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
CONTINUED = "continued-{}"  # of the study: this trial's folder has gone to another one


class Child:
    """The process of a training, whose words go to a file of its folder."""

    def __init__(self, command: list[str], folder: pathlib.Path):
        folder.mkdir(exist_ok=True)
        self._log = folder / LOG
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=signals.in_child()
            )

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.terminate()

    def code(self, *, wait: bool = False) -> int | None:
        """Its exit code as a shell counts; None while it runs."""
        code = self._process.wait() if wait else self._process.poll()
        return None if code is None else signals.exit_code(code)

    def last_words(self) -> str:
        """Its error, else its last line."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


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
    overrides: points.Pairs
    score: Score
    seed: int
    study: "Study"
    workdir: pathlib.Path
    command: list[str]

    def trials(self) -> "list[FrozenTrial]":
        """All but those that others have continued."""
        gone = self.study.user_attrs
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if CONTINUED.format(trial.number) not in gone]

    def arguments(self, trial: "Trial | FrozenTrial") -> tuple[str, points.Pairs]:
        """(--config, fields) of a trial."""
        chosen = space.written(trial.params, self.distributions)
        return points.arguments(self.config, chosen, self.overrides)

    def take_over(self) -> int:
        """Hands on the trials whose search has died; returns how many wait to be continued."""
        with files.lock(self.workdir, wait=True):
            for trial in self.study.get_trials(states=[_states().RUNNING]):
                name = trial.user_attrs.get(FOLDER)  # none: its search died while it asked
                held = _hold(self.workdir / name) if name else contextlib.nullcontext(True)
                with held as free:
                    if free:
                        self._hand_on(trial)
            return len(self.study.get_trials(deepcopy=False, states=[_states().WAITING]))

    def run(self, most: int, stop: types.SimpleNamespace) -> bool:
        """Trains the next trial until it is done or loses, and says what becomes of it.

        Args:
          most: trials in all.
          stop: of `launch.signals.stopping`.

        Returns:
          False where there was none left.
        """
        with contextlib.ExitStack() as held:
            self.take_over()
            with files.lock(self.workdir, wait=True):
                waiting = self.study.get_trials(deepcopy=False, states=[_states().WAITING])
                if not waiting and len(self.trials()) >= most:
                    return False
                trial = self._ask()
                folder = self.workdir / trial.user_attrs[FOLDER]
                held.enter_context(_hold(folder))
            self._train(trial, folder, stop)
        return True

    def _ask(self) -> "Trial":
        """The next trial; its choices hang on the seed and on what there was before it."""
        count = len(self.study.get_trials(deepcopy=False))
        (seed,) = np.random.SeedSequence([self.seed, count]).generate_state(1)
        sampler = space.optuna().samplers.TPESampler
        self.study.sampler = sampler(seed=int(seed), constant_liar=True)
        trial = self.study.ask(dict(self.distributions))
        if FOLDER not in trial.user_attrs:
            trial.set_user_attr(FOLDER, f"trial-{trial.number:04d}")
        return trial

    def _hand_on(self, trial: "Trial | FrozenTrial") -> None:
        """Ends a trial that is not done; the next one asked for continues its training."""
        self.study.set_user_attr(CONTINUED.format(trial.number), True)
        self.study.tell(trial.number, state=_states().FAIL)
        if folder := trial.user_attrs.get(FOLDER):
            self.study.enqueue_trial(trial.params, user_attrs={FOLDER: folder})

    def _train(self, trial: "Trial", folder: pathlib.Path, stop: types.SimpleNamespace) -> None:
        argument, fields = self.arguments(trial)
        chosen = space.written(trial.params, self.distributions).items()
        of_it = ", ".join(f"{k.removeprefix('config.')}={v}" for k, v in chosen)
        points.say(f"{folder.name}: {of_it}")
        try:
            steps = steps_of(config.settings(argument, fields))
        except UserError as error:
            return self._failed(trial, str(error))
        while files.in_use(folder) and not stop.requested:  # by one whose search has just died
            time.sleep(POLL)
        argv = [f"--config={argument}", f"--workdir={folder}", "--config.eval.estimators=()"]
        argv += [f"--config.{field}={text}" for field, text in fields]
        stop.child = child = Child([*self.command, *argv], folder)
        if stop.requested:  # before there was a child to tell
            child.stop()
        self._watch(trial, child, folder, steps)

    def _watch(self, trial: "Trial", child: Child, folder: pathlib.Path, steps: int) -> None:
        """Reports every validation of a training; stops it where its peers were better."""
        scores: list[float] = []
        while True:
            code = child.code()  # before the file is read, which is then complete
            found = self._validations(folder)
            for step, score in found[len(scores) :]:
                scores.append(score)
                trial.report(score, len(scores))
                over = step >= steps or (code is not None and len(scores) == len(found))
                if trial.should_prune() and not over:
                    child.stop()
                    child.code(wait=True)
                    self.study.tell(trial, state=_states().PRUNED)
                    return self._say(folder, f"given up at step {step}", score)
            if code is not None:
                break
            time.sleep(POLL)
        numbers = [score for score in scores if math.isfinite(score)]
        if code == STOPPED:
            with files.lock(self.workdir, wait=True):
                self._hand_on(trial)
        elif code or not numbers:
            self._failed(trial, child.last_words() if code else "no validation has a number")
        else:
            best = max(numbers, key=lambda score: self.score.sign * score)
            self.study.tell(trial, best)
            self._say(folder, "done", best)

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


def steps_of(settings: Settings) -> int:
    """Of a training with these settings, also where its length is in epochs.

    Raises:
      UserError: there are no validation images.
    """
    counts = datasets.split_counts(datasets.describe(settings.data), settings.data)
    if counts.get("validation") == 0:
        raise UserError("a search needs validation images: set data.num_validation")
    return (epochs.resolve(settings, counts["train"]) if counts else settings).train.steps


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
