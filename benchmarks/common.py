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

from vdp import build, config, parallel, state, step
from vdp.data import feeds, transforms
from vdp.data import load as data_load
from vdp.run import state_template


def arguments(
    doc: str, *, default: str = "mnist_vae", argv: list[str] | None = None, **defaults: int
):
    """(flags, config) of --config=NAME, --config.FIELD=VALUE and the integer flags given."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=default)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    flags, rest = parser.parse_known_args(argv)
    cfg = config.load(flags.config)
    config.override(cfg, [tuple(item.removeprefix("--config.").split("=", 1)) for item in rest])
    if not cfg.data.dir and data_load.describe(cfg.data).info.name != "digits":
        shape = "x".join(map(str, data_load.describe(cfg.data).shape))
        cfg.data.name, cfg.data.num_validation = f"synthetic:{shape}", 0
    return flags, cfg


@dataclasses.dataclass
class Bench:
    """A config with its data on the device and its model built."""

    cfg: object

    def __post_init__(self):
        cfg = self.cfg
        self.mesh = parallel.make_mesh()
        dataset = self.dataset = data_load.load(cfg.data)
        self.facts = dataset.facts
        self.model = build.model(cfg, self.facts)
        self.key = jax.random.key(cfg.seed)
        self.optimizer, template = state_template(cfg, self.model, self.facts.shape, self.mesh)
        self.parameters = state.count_parameters(template.params)
        self.transform = transforms.make(cfg.data, self.facts.info.levels)
        on_cpu = jax.default_backend() == "cpu"
        self.chunk_steps = cfg.train.steps_per_dispatch or (1 if on_cpu else 100)
        self.feed = feeds.make(
            dataset.splits["train"],
            seed=cfg.seed,
            batch_size=cfg.train.batch_size,
            placement=cfg.data.placement,
            place=parallel.placer(self.mesh),
        )

    def start(self) -> state.State:
        """A fresh state."""
        train = self.dataset.splits["train"]
        _, images = data_load.fixed_images(train, self.facts, self.cfg.data)
        create = functools.partial(state.create, self.model, self.optimizer)
        jitted = jax.jit(lambda key, data: create(key, self.facts.shape, data=data))
        return jitted(self.key, images)

    def chunk(self, transform: Callable | None = None) -> Callable:
        """The jitted chunk, with the config's transform or another."""
        chunk = step.make_chunk(
            self.model,
            self.optimizer,
            transform or self.transform,
            seed=self.cfg.seed,
            batch_size=self.cfg.train.batch_size,
            num_steps=self.chunk_steps,
            ema_decay=self.cfg.train.ema_decay,
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
