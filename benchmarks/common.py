"""What the benchmarks share: a config made ready to step, timing in turn, one JSON line."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import jax

from vdp import build, config
from vdp.data import datasets, feeds, transforms
from vdp.errors import Parser, UserError
from vdp.flags import Pairs, split
from vdp.runtime import parallel
from vdp.settings import Settings
from vdp.training import fit, program, state


def arguments(
    doc: str, *, default: str = "mnist_vae", argv: list[str] | None = None, **defaults: int
):
    """(flags, settings) of --config=NAME, --config.FIELD=VALUE and the integer flags given."""
    parser = Parser(description=doc)
    parser.add_argument("--config", default=default)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    flags, rest = parser.parse_known_args(argv)
    settings = config.settings(flags.config, overrides(rest))
    facts = datasets.describe(settings.data)
    if not settings.data.dir and facts.info.name != "digits":
        shape = "x".join(map(str, facts.shape))
        settings = settings.replace(data=dict(name=f"synthetic:{shape}", num_validation=0))
    return flags, settings


def overrides(words: list[str]) -> Pairs:
    """[(FIELD, VALUE), ...] of --config.FIELD=VALUE; UserError for any other word."""
    others, given = split(words, ("config",))
    if others:
        raise UserError(f"{others[0]} is no flag of this benchmark, and no --config.FIELD=VALUE")
    return given["config"]


@dataclasses.dataclass
class Bench:
    """A config with its data on the device and its model built."""

    settings: Settings

    def __post_init__(self):
        settings = self.settings
        self.mesh = parallel.make_mesh()
        dataset = self.dataset = datasets.load(settings.data)
        self.facts = dataset.facts
        self.model = build.model(settings.model, self.facts)
        self.key = jax.random.key(settings.seed)
        self.optimizer, self.template = state.template(
            settings, self.model, self.facts.shape, self.mesh
        )
        self.parameters = state.count_parameters(self.template.params)
        self.transform = transforms.make(settings.data, self.facts.info.levels)
        self.chunk_steps = program.chunk_steps(settings)
        self.feed = feeds.make(
            dataset.splits["train"],
            seed=settings.seed,
            batch_size=settings.train.batch_size,
            placement=settings.data.placement,
            mesh=self.mesh,
        )

    def start(self) -> state.State:
        """A fresh state, as training carries it."""
        of_run = (self.settings, self.model, self.optimizer, self.template, self.dataset)
        return state.carried(self.optimizer, fit.new_state(*of_run))

    def chunk(self, transform: Callable | None = None) -> Callable:
        """The jitted program of a dispatch, with the config's transform or another."""
        of_run = (self.settings, self.model, self.optimizer, self.facts.info.levels)
        how = dict(num_steps=self.chunk_steps, transform=transform)
        return program.chunk(
            *of_run, state.carried(self.optimizer, self.template), self.mesh, **how
        )


class Training:
    """The training of a bench: traced, then compiled, then so many steps as are asked for.

    Attributes:
      state: after the steps so far; a dispatch gives its buffers away.
      metrics: of the last dispatch.
      trace_seconds, compile_seconds: that these took.
      mib: that the program takes of a device.
    """

    def __init__(self, bench: Bench):
        self.bench, self.state, self.dispatches = bench, bench.start(), 0
        start = time.perf_counter()
        self.lowered = bench.chunk().lower(self.state, self._feed())
        self.trace_seconds = time.perf_counter() - start

    @property
    def whole(self) -> state.State:
        """The state, with its leaves."""
        return state.whole(self.bench.optimizer, self.state)

    def _feed(self):
        k = self.bench.chunk_steps
        return self.bench.feed.feed(self.dispatches * k, k)

    def compile(self, options: dict[str, str] | None = None) -> "Training":
        """Itself, ready to train.

        Args:
          options: of the compiler.
        """
        start = time.perf_counter()
        self.compiled = self.lowered.compile(compiler_options=options)
        self.compile_seconds = time.perf_counter() - start
        memory = self.compiled.memory_analysis()
        self.mib = (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20
        return self

    def taken(self, num: int) -> int:
        """The steps that `steps(num)` comes to: whole dispatches, one at least."""
        return max(num // self.bench.chunk_steps, 1) * self.bench.chunk_steps

    def steps(self, num: int) -> None:
        """Trains, and waits for the end."""
        for _ in range(self.taken(num) // self.bench.chunk_steps):
            self.state, self.metrics = self.compiled(self.state, self._feed())
            self.dispatches += 1
        jax.block_until_ready(self.state)


def time_in_turn(
    cases: dict[str, Callable], *, rounds: int, repeats: int = 1
) -> dict[str, list[float]]:
    """Seconds of one call of each case per round, in turn so that all share the weather.

    Args:
      cases: name -> a call that blocks until its result is ready.
      rounds: how often every case gets its turn.
      repeats: calls per turn.
    """
    seconds = {name: [] for name in cases}
    with alone():
        for call in cases.values():
            call()
        for _ in range(rounds):
            for name, call in cases.items():
                start = time.perf_counter()
                for _ in range(repeats):
                    call()
                seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


@contextlib.contextmanager
def alone():
    """Waits until no other benchmark is timed that shares the file BENCHMARK_LOCK.

    So several can be traced and compiled beside each other, where minutes on a device are few.
    """
    path = os.environ.get("BENCHMARK_LOCK")
    with open(path, "a") if path else contextlib.nullcontext() as file:
        if file:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def milliseconds(seconds: dict[str, list[float]], per: int = 1) -> dict[str, float]:
    """The median of every case, in milliseconds."""
    return {k: round(1e3 * statistics.median(v) / per, 4) for k, v in seconds.items()}


def report(name: str, results: dict) -> None:
    """Prints one JSON line with the machine and the versions."""
    machine = {
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": name, **results, "machine": machine}))
