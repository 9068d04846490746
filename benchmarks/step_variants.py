"""What choices of a config or of the compiler do to the training step, timed in turn.

python -m benchmarks.step_variants [--steps=N] [--rounds=N] [--patience=SECONDS]
    "NAME: CONFIG FIELD=VALUE xla_OPTION=VALUE ..." ...

A variant is a config, fields of it, and options of the compiler. All are traced, one after the
other, and compiled at the same time, so that `compile_seconds` of one are longer than it needs
alone. What is not ready after --patience seconds is left out. Then every variant trains --steps
steps in each round. Prints a line of JSON for every variant that is compiled, and one with the
medians; ratios are to the first variant. Synthetic images of the config's shape are used where no
data.dir is given.
"""

import concurrent.futures
import json
import os
import statistics
import sys
import time
import traceback

from benchmarks import command
from benchmarks.common import Bench, Training, arguments, milliseconds, report, time_in_turn
from vdp.errors import Parser


class Variant:
    """One variant, traced."""

    def __init__(self, text: str):
        self.name, _, rest = text.partition(":")
        name, *fields = rest.split()
        options = [item for item in fields if item.startswith("xla_")]
        words = {"true": True, "false": False}  # which are no text to the compiler
        self.options = {name: words.get(v, v) for name, v in (i.split("=", 1) for i in options)}
        argv = [f"--config.{item}" for item in fields if item not in options]
        _, self.settings = arguments("", argv=[f"--config={name}", *argv])
        self.training = Training(Bench(self.settings))

    def compile(self) -> "Variant":
        """Compiles and prints what that took."""
        training = self.training.compile(self.options)
        self.seen = {
            "trace_seconds": round(training.trace_seconds, 1),
            "compile_seconds": round(training.compile_seconds, 1),
            "mib": round(training.mib, 1),
        }
        print(json.dumps({"variant": self.name, **self.seen}), flush=True)
        return self


def compiled(texts: list[str], patience: float) -> list[Variant]:
    """The variants that are ready within `patience` seconds; why others are not is printed.

    Args:
      texts: of the variants.
      patience: seconds for all. A variant that is being traced when they end is still traced.
    """
    variants, jobs, end = [], {}, time.monotonic() + patience
    left = lambda: max(end - time.monotonic(), 0)
    pool = concurrent.futures.ThreadPoolExecutor(len(texts))
    for text in texts:
        if left():
            jobs[text] = pool.submit(Variant(text).compile)
    for text in texts:
        try:
            variants.append(jobs[text].result(timeout=left()))
        except Exception:
            failed = traceback.format_exc(limit=-1) if text in jobs else "not begun in time"
            print(json.dumps({"variant": text, "failed": failed}), flush=True)
    return variants


def main():
    """Prints the JSON lines."""
    parser = Parser(description=__doc__)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=3600)
    flags = parser.parse_args()
    if flags.rounds < 2:
        parser.error("--rounds has to be at least 2: the spread is over rounds")
    variants = compiled(flags.variants, flags.patience)
    if not variants:
        sys.exit("error: no variant was ready in time")
    calls = {v.name: lambda v=v: v.training.steps(flags.steps) for v in variants}
    seconds = time_in_turn(calls, rounds=flags.rounds)
    ms = milliseconds(seconds)
    results = {}
    for v in variants:
        per_call = v.training.taken(flags.steps)
        batch = v.settings.train.batch_size
        results[v.name] = v.seen | {
            "batch_size": batch,
            "ms_per_step": round(ms[v.name] / per_call, 4),
            "spread": round(statistics.stdev(seconds[v.name]) * 1e3 / per_call, 4),
            "images_per_second": round(batch * per_call * 1e3 / ms[v.name], 1),
            "loss": float(v.training.metrics["loss"][-1]),
        }
    first = results[variants[0].name]["ms_per_step"]
    for row in results.values():
        row["ratio"] = round(row["ms_per_step"] / first, 3)
    report("step_variants", {"variants": results})
    sys.stdout.flush()
    os._exit(0)  # a compilation that was given up cannot be stopped


if __name__ == "__main__":
    command.run(main)
