"""The training loop: chunks of steps, metrics read one chunk late, validation, checkpoints."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Shaped

from vdp.data import datasets, feeds
from vdp.errors import Interrupted, UserError
from vdp.metrics import score
from vdp.metrics.likelihood import bits_per_dim
from vdp.runtime import backend, interruption, parallel, wandb_sink
from vdp.runtime.metric_log import METRICS_FILE, Metrics, read_metrics, train_seconds
from vdp.runtime.progress import Progress, duration
from vdp.settings import Settings, notes
from vdp.settings.parse import to_json
from vdp.training import profile, program, state
from vdp.training.checkpoint import Checkpoints
from vdp.training.optim import Optimizer
from vdp.training.patience import Patience
from vdp.training.state import Evaluated, State
from vdp.training.validation import Measured, Validation, in_words
from vdp.types import Array, Model, Probabilistic

Metered = dict[str, Shaped[Array, "k"]]  # metrics of a chunk of K steps


@dataclasses.dataclass(kw_only=True)
class Loop:
    """The loop over chunks of K steps, which end at multiples of K; saves happen only there.

    Attributes:
      settings: of the run.
      model: what is trained.
      optimizer: of `vdp.training.optim.make`.
      dataset: of `settings.data`.
      mesh: the devices.
      workdir: of the run.
      checkpoints: where states are saved.
      progress: what is said to the person.
      start: the step where it begins.
      on_validation: called with what a validation has measured and saved, at every step but 0;
        returns where it has put pictures of it.
    """

    settings: Settings
    model: Model
    optimizer: Optimizer
    dataset: datasets.Dataset
    mesh: jax.sharding.Mesh
    workdir: pathlib.Path
    checkpoints: Checkpoints
    progress: Progress
    start: int
    on_validation: Callable[[Evaluated], Sequence[pathlib.Path]]

    def __post_init__(self) -> None:
        settings = self.settings
        self.chunk_steps = program.chunk_steps(settings)
        self.block = backend.on_cpu() and self.mesh.size > 1  # else fake CPU devices deadlock
        self.feed = feeds.make(
            self.dataset.splits["train"],
            seed=settings.seed,
            batch_size=settings.train.batch_size,
            placement=settings.data.placement,
            mesh=self.mesh,
        )
        seen = (self.dataset, self.mesh, self.progress)
        self.validation = Validation(settings, self.model, *seen)
        self.score = score.score_of(self.model)
        self.patience = self._patience()
        self.bits = isinstance(self.model, Probabilistic) and self.model.discrete
        self.compiled: dict[int, Callable] = {}  # by number of steps
        self.metrics: Metrics | None = None
        self.clock, self.clock_step = time.perf_counter(), self.start
        self.spent = train_seconds(self.workdir / METRICS_FILE, self.start) or 0.0
        traced = settings.log.profile_steps if parallel.is_writer() else 0
        self.profile = profile.Profile(self.workdir / profile.FOLDER, traced)

    def _patience(self) -> Patience:
        """What the validations until the start have come to; the process that writes knows them."""
        limit, path = self.settings.train.patience, self.workdir / METRICS_FILE
        lines = read_metrics(path) if parallel.is_writer() else []
        name = f"eval/{score.series_name(self.score, lines)}"
        within = dict(until=self.start, after=self.settings.kl_warmup)
        return Patience.from_lines(limit, lines, name, self.score.sign, **within)

    def run(self, current: State, *, fresh: bool, owed: bool) -> None:
        """Trains `current` to its end; a validation that is `owed` comes first.

        A `fresh` state begins the run's files anew.
        """
        settings = self.settings
        first = done = int(current.step)
        if fresh:  # lines of an earlier start that saved nothing are cut
            self.patience = Patience(settings.train.patience, settings.kl_warmup)
        if parallel.is_writer():
            log, say = settings.log, self.progress.say
            self.metrics = Metrics(
                self.workdir,
                step=-1 if fresh else first,
                tensorboard=log.tensorboard,
                others=wandb_sink.asked(self.workdir, log.wandb, to_json(settings), say),
                say=say,
            )
        self.clock = time.perf_counter()
        window: list[dict[str, np.ndarray]] = []
        pending, at_end = None, self.at_end(done)
        whole = functools.partial(state.whole, self.optimizer)
        try:
            if owed:
                self._validate_and_save(current, done)
            current = state.carried(self.optimizer, current)
            while not at_end:
                size = min(self.chunk_steps - done % self.chunk_steps, settings.train.steps - done)
                feed = self.feed.feed(done, size)
                current, metrics = self._compiled_chunk(current, feed, size)(current, feed)
                if self.block:
                    jax.block_until_ready(current)
                before, done = done, done + size
                if line := self.profile.update(done, current):
                    self.progress.say(line)
                if pending is not None:  # read one chunk late, so that the device never waits
                    window.append(self._read(*pending))
                pending = (before, metrics)
                at_end = self.at_end(done)
                stopping = interruption.requested() and not at_end
                validates = at_end or _crosses(before, done, settings.eval.every)
                saves = stopping or _crosses(before, done, settings.checkpoint.every)
                if validates or saves or _crosses(before, done, settings.log.every):
                    self._log_all(done, window, pending)  # with its seconds, when saved
                    pending = None
                if validates:
                    self._validate_and_save(whole(current), done)
                    at_end = at_end or self.at_end(done)
                elif saves:
                    self._save(whole(current))
                if stopping:
                    self.checkpoints.wait()
                    raise interruption.stopped(f" at step {done}; saved")
            if self.patience.exhausted and done < settings.train.steps:
                self.progress.say(self.patience.in_words(done))
            if line := notes.of_early_end(settings, done, self.optimizer.learning_rate):
                self.progress.say(line)
            self.checkpoints.wait()
            interruption.check("; training is saved, run again to evaluate")
        finally:
            self.profile.close()
            if self.metrics:
                self.metrics.close()

    def at_end(self, done: int) -> bool:
        """Whether the steps are done, or train.seconds (as stored) or train.patience spent."""
        train = self.settings.train
        spent = self.spent + time.perf_counter() - self.clock
        over = 0 < train.seconds <= spent or self.patience.exhausted
        limited = train.seconds > 0 or train.patience > 0
        over = limited and parallel.agreed(parallel.is_writer() and over)
        return done >= train.steps or over

    def owes_validation(self) -> bool:
        """Whether the run was stopped in the validation of the step where it now goes on.

        All processes ask for it together: the one that writes knows.
        """
        done = self.start
        before = (done - 1) // self.chunk_steps * self.chunk_steps
        due = self.at_end(done) or _crosses(before, done, self.settings.eval.every)
        if not (due and len(self.validation)):
            return False
        known = read_metrics(self.workdir / METRICS_FILE) if parallel.is_writer() else []
        name = f"eval/{score.series_name(self.score, known)}"
        missing = not any(line["step"] == done and name in line for line in known)
        return parallel.agreed(parallel.is_writer() and missing)

    def _compiled_chunk(self, current: State, feed: dict[str, Array], size: int) -> Callable:
        if size not in self.compiled:
            start = time.perf_counter()
            jitted = program.chunk(
                self.settings,
                self.model,
                self.optimizer,
                self.dataset.facts.info.levels,
                current,
                self.mesh,
                num_steps=size,
            )
            compiled = self.compiled[size] = jitted.lower(current, feed).compile()
            seconds = time.perf_counter() - start
            analysis = compiled.memory_analysis()
            assert analysis is not None  # as on CPU, GPU and TPU
            memory = (analysis.temp_size_in_bytes + analysis.argument_size_in_bytes) / 2**20
            self.progress.say(
                f"compiled {size} step(s) a dispatch in {seconds:.1f} s, {memory:.0f} MiB a device"
            )
            now = time.perf_counter()  # what came before the first step is no time of steps
            self.clock = now if len(self.compiled) == 1 else self.clock + now - start
        return self.compiled[size]

    def _read(self, before: int, metrics: Metered) -> dict[str, np.ndarray]:
        """Fetches a chunk's metrics; stops the run when too many updates in a row were bad."""
        host = {name: np.asarray(values) for name, values in metrics.items()}
        limit = self.settings.train.max_bad_steps
        if host["bad_steps"].max() > limit:
            step_number = before + int(np.argmax(host["bad_steps"] > limit)) + 1
            bad = "loss" if not np.isfinite(host["loss"]).all() else "grad_norm"
            saved = ", ".join(map(str, self.checkpoints.steps)) or "none"
            raise UserError(
                f"train/{bad} was not finite for more than train.max_bad_steps={limit} steps in a "
                f"row, last at step {step_number}: lower config.optim.learning_rate or set "
                f"config.optim.clip_norm, in another workdir; checkpoints kept: {saved}"
            )
        return host

    def _log_all(
        self, done: int, window: list[dict[str, np.ndarray]], pending: tuple[int, Metered] | None
    ) -> None:
        """Logs the window with the pending metrics, and empties it."""
        if pending is not None:
            window.append(self._read(*pending))
        if window:
            self._log(done, window)
            window.clear()

    def _log(self, done: int, window: list[dict[str, np.ndarray]]) -> None:
        joined = {name: np.concatenate([w[name] for w in window]) for name in window[0]}
        good = joined["bad_steps"] == 0
        values = {
            name: float(series[good].mean()) if good.any() else float("nan")
            for name, series in joined.items()
        }
        values["bad_steps"] = float((~good).sum())
        values["learning_rate"] = float(self.optimizer.learning_rate(done - 1))
        elapsed = time.perf_counter() - self.clock
        self.spent += elapsed
        rate = (done - self.clock_step) / max(elapsed, 1e-9)
        self.clock, self.clock_step = time.perf_counter(), done
        if self.bits:
            shape = self.dataset.facts.shape
            values["bits_per_dim"] = float(bits_per_dim(values[self.score.name], shape))
        reached = in_words(values, self.score)
        values["steps_per_second"], values["seconds"] = rate, elapsed
        left = (self.settings.train.steps - done) / rate
        if self.settings.train.seconds:
            left = min(left, max(self.settings.train.seconds - self.spent, 0.0))
        self.progress.update(done, f"{rate:.1f} steps/s, {duration(left)} left, {reached}")
        if self.metrics:
            self.metrics.write(done, {f"train/{name}": value for name, value in values.items()})

    def _save(self, current: State) -> None:
        start = time.perf_counter()
        self.checkpoints.save(current, metric=None)
        self.clock += time.perf_counter() - start

    def _validate_and_save(self, current: State, done: int) -> None:
        start = time.perf_counter()
        measured: Measured | None = None
        if len(self.validation):
            try:
                measured = self.validation.measure(current, done)
            except Interrupted:  # saved at once; the next start makes the validation good
                self.checkpoints.save(current, metric=None)
                self.checkpoints.wait()
                where = f" at step {done}, before its validation; saved"
                raise interruption.stopped(where) from None
            self.patience.add(done, measured.metric)
            line = f"validation at step {done}: {in_words(measured.values, self.score)}"
            self.progress.say(f"{line}, {self.patience.standing}" if self.score.chooses else line)
        self.checkpoints.save(current, metric=measured.metric if measured else None)
        if measured:
            self._log_validation(measured, done)
        if done and measured:
            evaluated = Evaluated(step=current.step, ema=current.ema, ema_stats=current.ema_stats)
            try:
                pictures = self.on_validation(evaluated)
            except Interrupted:
                raise interruption.stopped(f" at step {done}; saved") from None
            if self.metrics:
                self.metrics.pictures(done, pictures)
        self.clock += time.perf_counter() - start

    def _log_validation(self, measured: Measured, done: int) -> None:
        """Logs a validation after its save: a start cuts lines that have no checkpoint."""
        if self.metrics:
            self.metrics.write(done, {f"eval/{k}": v for k, v in measured.values.items()})
            for name, numbers in measured.histograms.items():
                self.metrics.histogram(done, f"eval/{name}", numbers)


def _crosses(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]; 0 has none."""
    return every > 0 and after // every > before // every
