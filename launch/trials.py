"""The trials of a search: asked of Optuna, trained in a process each, stopped where they lose."""

import dataclasses
import os
import pathlib
import socket
import subprocess
import time
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launch import points, signals, space
from vdp import config
from vdp.errors import STOPPED, UserError
from vdp.runtime import metric_log, sinks
from vdp.types import Score

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

LOG = "search.log"  # in a trial's folder: what its training says
POLL = 0.5  # s between two looks at a training
FOLDER, WORKER, ERROR = "folder", "worker", "error"  # of a trial: attributes in the study
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
      steps: of a whole training.
      score: of the validations; the best is a trial's value.
      seed: of the choices.
      study: of Optuna.
      workdir: the search's folder.
      command: what trains one run.
    """

    config: str
    distributions: "Mapping[str, BaseDistribution]"
    overrides: points.Pairs
    steps: int
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

    def open(self, most: int) -> bool:
        """Whether there is another trial to train, of `most` in all."""
        trials = self.trials()
        return len(trials) < most or any(t.state == _states().WAITING for t in trials)

    def arguments(self, trial: "Trial | FrozenTrial") -> tuple[str, points.Pairs]:
        """(--config, fields) of a trial."""
        return points.arguments(self.config, space.written(trial.params), self.overrides)

    def take_over(self) -> int:
        """Hands on the trials whose search died on this machine; returns how many there were."""
        running = self.study.get_trials(states=[_states().RUNNING])
        lost = [trial for trial in running if not _alive(trial)]
        for trial in lost:
            self._hand_on(trial)
        return len(lost)

    def _hand_on(self, trial: "Trial | FrozenTrial") -> None:
        """Ends a trial that is not done; the next one asked for continues its training."""
        if folder := trial.user_attrs.get(FOLDER):
            self.study.enqueue_trial(trial.params, user_attrs={FOLDER: folder})
        self.study.set_user_attr(CONTINUED.format(trial.number), True)
        self.study.tell(trial.number, state=_states().FAIL)

    def _ask(self) -> "Trial":
        """The next trial; its choices hang on the seed and on what there was before it."""
        seed = self.seed + len(self.study.get_trials(deepcopy=False))
        self.study.sampler = space.optuna().samplers.TPESampler(seed=seed)
        trial = self.study.ask(dict(self.distributions))
        trial.set_user_attr(WORKER, [socket.gethostname(), os.getpid()])
        if FOLDER not in trial.user_attrs:
            trial.set_user_attr(FOLDER, f"trial-{trial.number:04d}")
        return trial

    def run(self, stop: types.SimpleNamespace) -> None:
        """Trains the next trial until it is done or loses; says what becomes of it.

        Args:
          stop: of `launch.signals.stopping`.
        """
        trial = self._ask()
        folder = self.workdir / trial.user_attrs[FOLDER]
        values = space.written(trial.params)
        chosen = ", ".join(f"{k.removeprefix('config.')}={v}" for k, v in values.items())
        points.say(f"{folder.name}: {chosen}")
        argument, fields = self.arguments(trial)
        try:
            config.settings(argument, fields)
        except UserError as error:
            return self._failed(trial, str(error))
        argv = [f"--config={argument}", f"--workdir={folder}", "--config.eval.estimators=()"]
        argv += [f"--config.{field}={text}" for field, text in fields]
        stop.child = child = Child([*self.command, *argv], folder)
        if stop.requested:  # before there was a child to tell
            child.stop()
        self._watch(trial, child, folder)

    def _watch(self, trial: "Trial", child: Child, folder: pathlib.Path) -> None:
        """Reports every validation of a training; stops it where its peers were better."""
        scores: list[float] = []
        while True:
            code = child.code()  # before the file is read, which is then complete
            for step, score in self._validations(folder)[len(scores) :]:
                scores.append(score)
                trial.report(score, len(scores))
                if trial.should_prune() and step < self.steps:
                    child.stop()
                    child.code(wait=True)
                    self.study.tell(trial, state=_states().PRUNED)
                    return self._say(folder, f"given up at step {step}", score)
            if code is not None:
                break
            time.sleep(POLL)
        if code == STOPPED:
            self._hand_on(trial)
        elif code or not scores:
            self._failed(trial, child.last_words() if code else "no validation has a number")
        else:
            best = max(scores, key=lambda score: self.score.sign * score)
            self.study.tell(trial, best)
            self._say(folder, "done", best)

    def _validations(self, folder: pathlib.Path) -> list[tuple[int, float]]:
        """[(step, score), ...] of a training so far, without that of its start."""
        lines = metric_log.read_metrics(folder / sinks.METRICS_FILE)
        name = f"eval/{self.score.name}"
        found = [(line["step"], line.get(name)) for line in lines if line["step"]]
        return [(step, score) for step, score in found if score is not None]

    def _say(self, folder: pathlib.Path, what: str, score: float) -> None:
        shown = self.score
        points.say(f"{folder.name}: {what}, {shown.name} {score:.5g} {shown.unit}")

    def _failed(self, trial: "Trial", error: str) -> None:
        trial.set_user_attr(ERROR, error)
        self.study.tell(trial, state=_states().FAIL)
        points.say(f"{trial.user_attrs[FOLDER]}: failed: {error}")


def _states() -> Any:
    return space.optuna().trial.TrialState


def _alive(trial: "FrozenTrial") -> bool:
    """Whether the search that asked for a trial may still run: on another machine it always may."""
    host, pid = trial.user_attrs.get(WORKER, (socket.gethostname(), 0))
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(pid)
