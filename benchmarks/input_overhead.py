"""What the host and the input pipeline cost, as a share of the training step.

python -m benchmarks.input_overhead --config=mnist_vae [--config.data.dir=DIR] [--rounds=N]
    [--steps=N]

Three programs in turn in one process: the step as the trainer runs it (epoch order, gather,
dynamic binarisation, metrics fetched one chunk late), the same step on one fixed batch that is
already binarised and on the device, and that without reading metrics on the host. Synthetic images
of the config's shape are used where no data.dir is given.
"""

import jax
import numpy as np

from benchmarks import command
from benchmarks.common import Bench, arguments, milliseconds, report, time_in_turn
from vdp.data import feeds
from vdp.types import Batch


def main():
    """Prints milliseconds per step of the three programs, and the overhead as a share."""
    flags, cfg = arguments(__doc__, rounds=15, steps=10)
    bench = Bench(cfg)
    k, batch_size = bench.chunk_steps, cfg.train.batch_size
    images, labels = feeds.take(bench.feed.feed(0, k), 0, batch_size)
    target = jax.jit(bench.transform)(images, labels, bench.key).target
    fixed = {"images": jax.numpy.stack([target] * k), "labels": jax.numpy.stack([labels] * k)}
    as_is = lambda images, labels, rng: Batch(target=images, input=images, label=labels)
    cases = {
        "trainer": turns(bench, None, lambda i: bench.feed.feed(i * k, k), True, flags.steps),
        "fixed batch": turns(bench, as_is, lambda i: fixed, True, flags.steps),
        "no host": turns(bench, as_is, lambda i: fixed, False, flags.steps),
    }
    seconds = time_in_turn(cases, rounds=flags.rounds)
    overhead = np.array(seconds["trainer"]) / np.array(seconds["no host"]) - 1
    per_turn = max(flags.steps // k, 1) * k
    ms = milliseconds(seconds, per_turn)
    results = {
        "data": cfg.data.name,
        "batch_size": batch_size,
        "steps_per_dispatch": k,
        "ms_per_step": ms,
        "steps_per_second": round(1e3 / ms["trainer"], 2),
        "overhead_median": round(float(np.median(overhead)), 4),
        "overhead_standard_error": round(float(overhead.std(ddof=1) / len(overhead) ** 0.5), 4),
        "rounds": flags.rounds,
    }
    report("input_overhead", results)


def turns(bench, transform, feed_of, reads_metrics, num_steps):
    """A call that trains for `num_steps` and blocks at its end."""
    chunk, current, count = bench.chunk(transform), bench.start(), 0

    def turn():
        nonlocal current, count
        pending = None
        for _ in range(max(num_steps // bench.chunk_steps, 1)):
            current, metrics = chunk(current, feed_of(count))
            count += 1
            if reads_metrics and pending is not None:
                jax.tree.map(np.asarray, pending)
            pending = metrics
        jax.block_until_ready(current)

    return turn


if __name__ == "__main__":
    command.run(main)
