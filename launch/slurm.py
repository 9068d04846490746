"""The process of one run, and many runs as jobs of a cluster through submitit."""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from launch import signals
from vdp.errors import STOPPED, UserError
from vdp.runtime import files
from vdp.runtime.progress import duration

CLUSTERS = {"slurm": "slurm", "submitit-local": "local"}  # launcher: submitit's name
SHARED = (  # by submitit's clusters; other options carry the prefix slurm_
    "cpus_per_task", "gpus_per_node", "mem_gb", "name", "nodes", "stderr_to_stdout",
    "tasks_per_node", "timeout_min",
)  # fmt: skip
LISTS: dict[str, Callable[[str], list[str]]] = {  # options that submitit takes as lists
    "setup": lambda command: [command],
    "srun_args": shlex.split,
}
TIMEOUTS = 50  # requeues of one run: every one goes on from a checkpoint
PATIENCE = 300.0  # s; Slurm kills what was cancelled KillWait after SIGTERM, by default 30 s


class Training(Protocol):
    """What a run is here: `launch.sweep.Run`."""

    @property
    def name(self) -> str:
        """What it is called on the terminal."""
        ...

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments of `vdp.main`."""
        ...

    def record(self, exit_code: int | None = None, error: str | None = None) -> None:
        """Writes down how it ended; None: it has not."""
        ...

    def begun_with(self) -> list[str] | None:
        """The arguments that were written down last."""
        ...


class Child:
    """The process of one run; what it says goes to stderr, how it ends into sweep.json."""

    def __init__(self, run: Training, command: list[str]):
        run.record()
        self._run = run
        self._process = subprocess.Popen(
            [*command, *run.argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=signals.in_child(),
        )

    def stop(self, *, wait: bool = False) -> None:
        """Asks the process to save and end; with `wait`, returns when it has ended.

        For signal handlers: nothing here waits for what the interrupted code may hold.
        """
        self._process.terminate()
        if wait:
            with contextlib.suppress(ChildProcessError):  # its exit code was read before
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def kill(self) -> None:
        """Ends the process at once, unsaved."""
        self._process.kill()

    def wait(self) -> int:
        """Shows what the process says until it ends, and returns its exit code."""
        last = None
        assert self._process.stdout is not None  # a pipe
        for line in self._process.stdout:
            sys.stderr.write(line)
            sys.stderr.flush()
            if line.strip() and not (last or "").startswith("error: "):
                last = line.strip()
        code = signals.exit_code(self._process.wait())
        self._run.record(code, last if code else None)
        return code


class Job:
    """One run as submitit calls it; requeued, and so continued, after time-out and preemption."""

    def __init__(self, run: Training, command: list[str], patience: float):
        self._given = run, command, patience
        self._child: Child | None = None

    def __call__(self) -> None:
        """Runs the process.

        Raises:
          RuntimeError: it failed; the scheduler then counts the job as failed as well.
        """
        run, command, patience = self._given
        self._child = Child(run, command)
        code = self._child.wait()
        if code == STOPPED:
            # after SIGTERM alone: if the job was cancelled, Slurm kills it during the sleep;
            # asking for a requeue at once would bring it back
            time.sleep(patience)
            os.kill(os.getpid(), _requeue_signal())
        if code:
            raise RuntimeError(f"{run.name} ended with exit code {code}")

    def checkpoint(self) -> Any:
        """What submitit calls when time runs out: stops the process, saved, to start it again."""
        if self._child:
            self._child.stop(wait=True)
        return _submitit().helpers.DelayedSubmission(Job(*self._given))


def submit(
    runs: Sequence[Training],
    command: list[str],
    workdir: pathlib.Path,
    launcher: str,
    options: dict[str, str],
) -> dict[str, Any]:
    """Submits runs as one array of jobs, but those whose job is still in the queue.

    Args:
      runs: what is not finished.
      command: what trains one run.
      workdir: the sweep's folder; logs go to `slurm` in it.
      launcher: a key of CLUSTERS.
      options: of --slurm.KEY=VALUE, as text.

    Returns:
      {name of the run: submitit job}.

    Raises:
      UserError: submitit or the cluster is not there, or refuses an option; or a job that is in
        the queue has other arguments.
    """
    submitit, cluster = _submitit(), CLUSTERS[launcher]
    folder = workdir / "slurm"
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(**_parameters(options, workdir))
    except (RuntimeError, NameError, ValueError, AssertionError) as error:
        raise UserError(f"submitit refuses: {str(error).splitlines()[0]}") from error
    path = folder / "jobs.json"
    known = files.read_json(path, path.name) if path.exists() else {}
    queued = _queued() if cluster == "slurm" else set()
    for run in runs:
        if known.get(run.name) in queued and run.begun_with() != list(run.argv):
            raise UserError(
                f"{run.name} is in the queue as job {known[run.name]} with other arguments: "
                f"scancel {known[run.name]} takes it out, or name another --workdir"
            )
    jobs = {
        run.name: submitit.SlurmJob(folder, known[run.name])
        for run in runs
        if known.get(run.name) in queued
    }
    for name, job in jobs.items():
        print(f"{name}: in the queue as job {job.job_id}")
    new = [run for run in runs if run.name not in jobs]
    for run in new:
        run.record()
    patience = PATIENCE if cluster == "slurm" else 0.0
    try:
        made = executor.submit_array([Job(run, command, patience) for run in new]) if new else []
    except Exception as error:  # of sbatch, through submitit
        raise UserError(
            f"the jobs could not be submitted: {' '.join(str(error).split())}"
        ) from error
    for run, job in zip(new, made, strict=True):
        print(f"{run.name}: job {job.job_id}")
        jobs[run.name] = job
    files.write_json(path, known | {name: j.job_id for name, j in jobs.items()})
    return jobs


def wait(jobs: dict, launcher: str) -> None:
    """Waits for all jobs and says which are done."""
    names, started = {id(job): name for name, job in jobs.items()}, time.monotonic()
    poll = 10 if launcher == "slurm" else 0.2
    done = _submitit().helpers.as_completed(list(jobs.values()), poll_frequency=poll)
    for count, job in enumerate(done, 1):
        passed = duration(time.monotonic() - started)
        print(f"{names[id(job)]}: ended, {count} of {len(jobs)}, {passed}", file=sys.stderr)


def _submitit():
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "this launcher needs the library submitit: pip install -e '.[sweep]'"
        ) from error
    return submitit


def _requeue_signal() -> int:
    return getattr(signal, f"SIG{_submitit().JobEnvironment.USR_SIG}")


def _parameters(options: dict[str, str], workdir: pathlib.Path) -> dict:
    parameters: dict[str, Any] = {"timeout_min": 60, "name": workdir.name}
    parameters["slurm_additional_parameters"] = {"requeue": True}  # sites may have it off
    for key, text in options.items():
        value: Any = {"True": True, "False": False}.get(text, text)
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            value = float(text) if "." in text else int(text)
        value = LISTS[key](text) if key in LISTS else value
        prefix = "" if key in SHARED or key.startswith("slurm_") else "slurm_"
        parameters[prefix + key] = value
    return parameters


def _queued() -> set[str]:
    """The ids of this user's jobs that wait or run; UserError where Slurm does not say."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return set()
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        raise UserError(f"squeue does not say which jobs wait or run ({said}): try again later")
    return set(done.stdout.split())
