"""The training loop: chunks of steps, metrics read one chunk late, validation, checkpoints."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import time

import jax
import numpy as np

from vdp import parallel, sample, score, state, step
from vdp.checkpoint import Checkpoints
from vdp.data import feeds, transforms
from vdp.data import load as data_load
from vdp.errors import Interrupted, UserError
from vdp.evals.likelihood import bits_per_dim
from vdp.report import METRICS_FILE, Metrics, Progress, duration, read_metrics, train_seconds
from vdp.run import Run

ACCELERATOR_CHUNK = 100
PREVIEW = 36  # samples in the picture of each validation


class Preemption:
    """Whether to stop: SIGTERM to any process, or Ctrl-C, from its making until `release`."""

    def __init__(self):
        self._reason = "SIGTERM"  # where another process heard of it
        self._received = False
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:  # as in a shell's background
                with contextlib.suppress(ValueError):  # outside the main thread are no signals
                    self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number, _):
        if number == signal.SIGINT:
            if self._received:
                raise KeyboardInterrupt
            self._reason = "Ctrl-C"
            os.write(2, b"stopping after this step, saved; Ctrl-C again stops at once\n")
        self._received = True

    def reached(self) -> bool:
        """The same answer in every process, so that all save the same step."""
        return parallel.agreed(self._received)

    def stopped(self, where: str) -> Interrupted:
        """What to raise when all is saved."""
        return Interrupted(f"stopped by {self._reason}{where}")

    def release(self) -> None:
        """Gives the signals back."""
        for number, previous in self._previous.items():
            if previous is not None:  # of another language's making: cannot be given back
                signal.signal(number, previous)


@dataclasses.dataclass
class Loop:
    """The loop over chunks of K steps, which end at multiples of K; saves happen only there."""

    run_at: Run
    optimizer: object
    dataset: data_load.Dataset
    mesh: object
    workdir: pathlib.Path
    checkpoints: Checkpoints
    progress: Progress
    preemption: Preemption

    def __post_init__(self):
        config = self.config = self.run_at.config
        on_cpu = jax.default_backend() == "cpu"
        auto = 1 if on_cpu else ACCELERATOR_CHUNK
        self.chunk_steps = config.train.steps_per_dispatch or auto
        self.block = on_cpu and self.mesh.size > 1  # else fake CPU devices deadlock
        self.feed = feeds.make(
            self.dataset.splits["train"],
            seed=config.seed,
            batch_size=config.train.batch_size,
            placement=config.data.placement,
            place=parallel.placer(self.mesh),
        )
        split = self.dataset.splits["validation"]
        fixed = data_load.fixed_images(split, self.run_at.facts, config.data)
        self.validation = (*fixed, split.labels)
        self.compiled = {}
        self.metrics = None
        self.clock, self.clock_step = time.perf_counter(), self.run_at.step
        self.spent = train_seconds(self.workdir / METRICS_FILE, self.run_at.step) or 0.0

    def run(self, current: state.State, *, fresh: bool) -> None:
        """Trains `current` to its end; a `fresh` one is validated first."""
        config = self.config
        first = done = int(current.step)
        owed = fresh or self.owes_validation
        if parallel.is_writer():
            self.metrics = Metrics(self.workdir, step=first, tensorboard=config.log.tensorboard)
        pending, window, at_end = None, [], self.at_end(done)
        try:
            if owed:
                self._validate_and_save(current, done)
            while not at_end:
                size = min(self.chunk_steps - done % self.chunk_steps, config.train.steps - done)
                feed = self.feed.feed(done, size)
                current, metrics = self._compiled_chunk(current, feed, size)(current, feed)
                if self.block:
                    jax.block_until_ready(current)
                before, done = done, done + size
                if pending is not None:  # read one chunk late, so that the device never waits
                    window.append(self._read(*pending))
                pending = (before, metrics)
                at_end = self.at_end(done)
                stopping = self.preemption.reached() and not at_end
                validates = at_end or _crosses(before, done, config.eval.every)
                saves = stopping or _crosses(before, done, config.checkpoint.every)
                if validates or saves or _crosses(before, done, config.log.every):
                    pending = self._log_all(done, window, pending)  # with its seconds, when saved
                if validates:
                    self._validate_and_save(current, done)
                elif saves:
                    self._save(current)
                if stopping:
                    self.checkpoints.wait()
                    raise self.preemption.stopped(f" at step {done}; saved")
            self.checkpoints.wait()
            if self.preemption.reached():
                raise self.preemption.stopped("; training is saved, run again to evaluate")
        finally:
            if self.metrics:
                self.metrics.close()

    def at_end(self, done: int) -> bool:
        """Whether the steps are done or train.seconds spent, by the clock that stores them."""
        limit = self.config.train.seconds
        spent = self.spent + time.perf_counter() - self.clock
        time_is_up = limit > 0 and parallel.agreed(parallel.is_writer() and spent >= limit)
        return done >= self.config.train.steps or time_is_up

    @property
    def owes_validation(self) -> bool:
        """Whether the run was stopped in the validation of the step where it now goes on."""
        done, name = self.run_at.step, f"eval/{score.of(self.run_at.model).name}"
        before = (done - 1) // self.chunk_steps * self.chunk_steps
        due = self.at_end(done) or _crosses(before, done, self.config.eval.every)
        if not (due and len(self.validation[0])):
            return False
        known = read_metrics(self.workdir / METRICS_FILE) if parallel.is_writer() else []
        missing = not any(line["step"] == done and name in line for line in known)
        return parallel.agreed(parallel.is_writer() and missing)

    def _compiled_chunk(self, current, feed, size: int):
        if size not in self.compiled:
            config = self.config
            chunk = step.make_chunk(
                self.run_at.model,
                self.optimizer,
                transforms.make(config.data, self.run_at.facts.info.levels),
                seed=config.seed,
                batch_size=config.train.batch_size,
                num_steps=size,
                ema_decay=config.train.ema_decay,
                ema_warmup=config.train.ema_warmup,
                constrain=parallel.batch_constraint(self.mesh),
            )
            start = time.perf_counter()
            shardings = jax.tree.map(lambda leaf: leaf.sharding, current)
            jitted = jax.jit(
                chunk,
                donate_argnums=0,
                out_shardings=(shardings, parallel.replicated(self.mesh)),
            )
            compiled = self.compiled[size] = jitted.lower(current, feed).compile()
            seconds = time.perf_counter() - start
            analysis = compiled.memory_analysis()
            memory = (analysis.temp_size_in_bytes + analysis.argument_size_in_bytes) / 2**20
            self.progress.say(
                f"compiled {size} step(s) a dispatch in {seconds:.1f} s, {memory:.0f} MiB a device"
            )
            self.clock += time.perf_counter() - start
        return self.compiled[size]

    def _read(self, before: int, metrics) -> dict[str, np.ndarray]:
        """Fetches a chunk's metrics; stops the run when too many updates in a row were bad."""
        host = {name: np.asarray(values) for name, values in metrics.items()}
        limit = self.config.train.max_bad_steps
        if host["bad_steps"].max() > limit:
            step_number = before + int(np.argmax(host["bad_steps"] > limit)) + 1
            bad = "loss" if not np.isfinite(host["loss"]).all() else "grad_norm"
            saved = ", ".join(map(str, self.checkpoints.steps)) or "none"
            raise UserError(
                f"train/{bad} was not finite for more than train.max_bad_steps={limit} steps in a "
                f"row, last at step {step_number}: lower config.optim.learning_rate or set "
                f"config.optim.clip_norm, in another --workdir; checkpoints kept: {saved}"
            )
        return host

    def _log_all(self, done: int, window: list, pending) -> None:
        """Logs the window with the pending metrics and empties it; None is pending then."""
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
        elapsed = time.perf_counter() - self.clock
        self.spent += elapsed
        rate = (done - self.clock_step) / max(elapsed, 1e-9)
        self.clock, self.clock_step = time.perf_counter(), done
        facts, shown = self.run_at.facts, score.of(self.run_at.model)
        reached = f"{values[shown.name]:.2f} {shown.unit}"
        if self.run_at.model.discrete:
            values["bits_per_dim"] = float(bits_per_dim(values["elbo"], facts.shape))
            reached = f"{values['bits_per_dim']:.4f} bits/dim"
        values["steps_per_second"], values["seconds"] = rate, elapsed
        left = (self.config.train.steps - done) / rate
        if self.config.train.seconds:
            left = min(left, max(self.config.train.seconds - self.spent, 0.0))
        self.progress.update(done, f"{rate:.1f} steps/s, {duration(left)} left, {reached}")
        if self.metrics:
            self.metrics.write(done, {f"train/{name}": value for name, value in values.items()})

    def _save(self, current: state.State) -> None:
        start = time.perf_counter()
        self.checkpoints.save(current, metric=None)
        self.clock += time.perf_counter() - start

    def _stop_in_validation(self, current: state.State) -> None:
        """Saves without waiting for the validation's end, which the next start makes good."""
        if self.preemption.reached():
            self.checkpoints.save(current, metric=None)
            self.checkpoints.wait()
            where = f" at step {int(current.step)}, before its validation; saved"
            raise self.preemption.stopped(where)

    def _validate_and_save(self, current: state.State, done: int) -> None:
        start = time.perf_counter()
        metric = None
        if len(self.validation[0]):
            run = dataclasses.replace(
                self.run_at, params=current.ema, stats=current.ema_stats, step=done
            )
            stop = lambda _: self._stop_in_validation(current)
            parts = run.map("elbo", step.elbo_step, self.validation, progress=stop)
            means = {name: float(part.mean()) for name, part in parts.items()}
            metric = means.pop("value")
            values = score.of(run.model).metrics(metric, means)
            if run.model.discrete:
                values["bits_per_dim"] = float(bits_per_dim(metric, run.facts.shape))
            if self.metrics:
                self.metrics.write(done, {f"eval/{name}": value for name, value in values.items()})
        self.checkpoints.save(current, metric=metric)
        if done and metric is not None and hasattr(run.model, "sample"):
            preview = dataclasses.replace(run, config=_preview_config(self.config))
            sample.write_samples(preview, self.workdir / "samples", name=f"step-{done:07d}")
        self.clock += time.perf_counter() - start


def _preview_config(config):
    preview = config.copy_and_resolve_references()
    preview.sample.num = PREVIEW
    return preview


def _crosses(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]; 0 has none."""
    return every > 0 and after // every > before // every
