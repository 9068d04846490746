"""What the benchmarks share: a config made ready to step, timing in turn, one JSON line."""

import argparse
import dataclasses
import functools
import json
import platform
import statistics
import time
from collections.abc import Callable

import jax

from vdp import build, config
from vdp.data import datasets, feeds, transforms
from vdp.runtime import parallel
from vdp.settings import Settings
from vdp.training import program, state, step


def arguments(
    doc: str, *, default: str = "mnist_vae", argv: list[str] | None = None, **defaults: int
):
    """(flags, settings) of --config=NAME, --config.FIELD=VALUE and the integer flags given."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=default)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    flags, rest = parser.parse_known_args(argv)
    overrides = [tuple(item.removeprefix("--config.").split("=", 1)) for item in rest]
    settings = config.settings(flags.config, overrides)
    facts = datasets.describe(settings.data)
    if not settings.data.dir and facts.info.name != "digits":
        shape = "x".join(map(str, facts.shape))
        settings = settings.replace(data=dict(name=f"synthetic:{shape}", num_validation=0))
    return flags, settings


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
        self.optimizer, template = state.template(settings, self.model, self.facts.shape, self.mesh)
        self.parameters = state.count_parameters(template.params)
        self.transform = transforms.make(settings.data, self.facts.info.levels)
        self.chunk_steps = program.chunk_steps(settings)
        self.feed = feeds.make(
            dataset.splits["train"],
            seed=settings.seed,
            batch_size=settings.train.batch_size,
            placement=settings.data.placement,
            place=parallel.placer(self.mesh),
        )

    def start(self) -> state.State:
        """A fresh state."""
        train = self.dataset.splits["train"]
        _, images = datasets.fixed_images(train, self.facts, self.settings.data)
        create = functools.partial(state.create, self.model, self.optimizer)
        jitted = jax.jit(lambda key, data: create(key, self.facts.shape, data=data))
        return jitted(self.key, images)

    def chunk(self, transform: Callable | None = None) -> Callable:
        """The jitted chunk, with the config's transform or another."""
        chunk = step.make_chunk(
            self.model,
            self.optimizer,
            transform or self.transform,
            seed=self.settings.seed,
            batch_size=self.settings.train.batch_size,
            num_steps=self.chunk_steps,
            ema_decay=self.settings.train.ema_decay,
            constrain=parallel.batch_constraint(self.mesh),
        )
        return jax.jit(chunk, donate_argnums=0)


def time_in_turn(
    cases: dict[str, Callable], *, rounds: int, repeats: int = 1
) -> dict[str, list[float]]:
    """Seconds of one call of each case per round, in turn so that all share the weather.

    Args:
      cases: name -> a call that blocks until its result is ready.
      rounds: how often every case gets its turn.
      repeats: calls per turn.
    """
    for call in cases.values():
        call()
    seconds = {name: [] for name in cases}
    for _ in range(rounds):
        for name, call in cases.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


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
