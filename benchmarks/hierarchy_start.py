"""The first steps of a hierarchy on real images: bound on held-out ones against seconds of steps.

    python -m benchmarks.hierarchy_start --config=mnist_dvp --config.data.dir=DIR [--steps=N]
        [--every=N] [--held_out=N] [--config.FIELD=VALUE ...]

The first point is that of the start, before any step (`--steps=0`: it alone). Current weights, not
averaged ones; seconds are those of training steps alone, compilation beside them. "elbo" is the
bound (T=inf). The published program's reference: 210 / 168 / 138 / 124 nats at steps 50 / 100 / 200
/ 400 of batches of 250, on 9,000 other held-out images. These are its validation's numbers, one
random time of the continuous bound an image: the same bound as ours.
"""

import time

import jax

from benchmarks import command
from benchmarks.common import Bench, arguments, report
from vdp.data import datasets
from vdp.metrics import score
from vdp.metrics.batched import Batched
from vdp.metrics.likelihood import mean_and_error
from vdp.training import state


def main():
    """Prints one JSON line."""
    flags, given = arguments(__doc__, default="mnist_dvp", steps=400, every=200, held_out=9000)
    settings = given.replace(
        data=dict(num_validation=flags.held_out), train=dict(steps_per_dispatch=1)
    )
    bench = Bench(settings)
    split = bench.dataset.splits["validation"]
    held_out = (*datasets.fixed_images(split, bench.facts, settings.data), split.labels)
    batched = Batched(bench.mesh, settings.eval.batch_size, settings.eval.seed)

    def point(current, done, seconds):
        whole = state.whole(bench.optimizer, current)
        inputs = (whole.params, whole.stats, held_out)
        bound = batched.map(score.flat_terms, bench.model, *inputs)["value"]
        return {"step": done, "seconds": round(seconds, 1), "elbo": mean_and_error(bound)}

    current, spent = bench.start(), 0.0
    curve, start = [point(current, 0, spent)], time.perf_counter()
    compiled = bench.chunk().lower(current, bench.feed.feed(0, 1)).compile()
    compile_seconds = time.perf_counter() - start
    start = time.perf_counter()
    for index in range(flags.steps):
        current, _ = compiled(current, bench.feed.feed(index, 1))
        if (index + 1) % flags.every == 0 or index + 1 == flags.steps:
            jax.block_until_ready(current)
            spent += time.perf_counter() - start
            curve.append(point(current, index + 1, spent))
            start = time.perf_counter()
    results = {"config": flags.config, "seed": settings.seed}
    results["batch_size"] = settings.train.batch_size
    report("hierarchy_start", results | {"compile_seconds": compile_seconds, "curve": curve})


if __name__ == "__main__":
    command.run(main)
