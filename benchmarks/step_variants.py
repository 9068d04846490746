"""What choices of a config or of the compiler do to the training step, timed in turn.

python -m benchmarks.step_variants [--steps=N] [--rounds=N] [--patience=SECONDS]
    "NAME: CONFIG FIELD=VALUE xla_OPTION=VALUE ..." ...

A variant is a config, fields of it, and options of the compiler. All are compiled at once, in
threads of one process (so that `compile_seconds` are those beside the others); what takes longer
than `patience` is left out. Then every variant trains some dispatches per round. One JSON line per
variant as it is compiled, and a last one with the medians; ratios are to the first variant.
Synthetic images of the config's shape are used where no data.dir is given.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import sys
import time
import traceback

import jax

from benchmarks.common import Bench, arguments, milliseconds, report, time_in_turn


class Variant:
    """One variant, traced; `compile` makes it ready to train."""

    def __init__(self, text: str):
        self.name, _, rest = text.partition(":")
        name, *fields = rest.split()
        options = [item for item in fields if item.startswith("xla_")]
        self.options = dict(item.split("=", 1) for item in options)
        argv = [f"--config.{item}" for item in fields if item not in options]
        _, self.settings = arguments("", argv=[f"--config={name}", *argv])
        start = time.perf_counter()
        self.bench, self.dispatches = Bench(self.settings), 0
        self.state = self.bench.start()
        feed = self.bench.feed.feed(0, self.bench.chunk_steps)
        self.lowered = self.bench.chunk().lower(self.state, feed)
        self.trace_seconds = time.perf_counter() - start

    def compile(self):
        """Compiles it."""
        start = time.perf_counter()
        self.program = self.lowered.compile(compiler_options=self.options)
        memory = self.program.memory_analysis()
        size = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        self.seen = {
            "trace_seconds": round(self.trace_seconds, 1),
            "compile_seconds": round(time.perf_counter() - start, 1),
            "mib": round(size / 2**20, 1),
        }
        print(json.dumps({"variant": self.name, **self.seen}), flush=True)
        return self

    def steps(self, num: int):
        """Trains at least `num` steps, in whole dispatches."""
        k = self.bench.chunk_steps
        for _ in range(max(num // k, 1)):
            self.state, self.metrics = self.program(
                self.state, self.bench.feed.feed(self.dispatches * k, k)
            )
            self.dispatches += 1
        jax.block_until_ready(self.state)


def compiled(texts: list[str], patience: float) -> list[Variant]:
    """The variants that compile within `patience` seconds; why others do not is printed."""
    variants, end = [], time.monotonic() + patience
    pool = concurrent.futures.ThreadPoolExecutor(max(len(texts), 1))
    jobs = [pool.submit(Variant(text).compile) for text in texts]
    for text, job in zip(texts, jobs, strict=True):
        try:
            variants.append(job.result(timeout=max(end - time.monotonic(), 0.1)))
        except Exception:
            failed = traceback.format_exc(limit=-1)
            print(json.dumps({"variant": text, "failed": failed}), flush=True)
    return variants


def main():
    """Prints the JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=3600)
    flags = parser.parse_args()
    variants = compiled(flags.variants, flags.patience)
    calls = {v.name: lambda v=v: v.steps(flags.steps) for v in variants}
    seconds = time_in_turn(calls, rounds=flags.rounds)
    ms = milliseconds(seconds)
    results = {}
    for v in variants:
        per_call = max(flags.steps // v.bench.chunk_steps, 1) * v.bench.chunk_steps
        batch = v.settings.train.batch_size
        results[v.name] = v.seen | {
            "batch_size": batch,
            "ms_per_step": round(ms[v.name] / per_call, 4),
            "spread": round(statistics.stdev(seconds[v.name]) * 1e3 / per_call, 4),
            "images_per_second": round(batch * per_call * 1e3 / ms[v.name], 1),
            "loss": float(v.metrics["loss"][-1]),
        }
    first = results[variants[0].name]["ms_per_step"]
    for row in results.values():
        row["ratio"] = round(row["ms_per_step"] / first, 3)
    report("step_variants", {"variants": results})
    sys.stdout.flush()
    os._exit(0)  # a compilation that was given up cannot be stopped


if __name__ == "__main__":
    main()
