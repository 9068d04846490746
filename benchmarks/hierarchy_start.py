"""The first steps of a hierarchy on real images: bound on held-out ones against seconds of steps.

    python -m benchmarks.hierarchy_start --config=mnist_dvp --config.data.dir=DIR [--steps=N]
        [--every=N] [--held_out=N] [--config.FIELD=VALUE ...]

The first point is that of the start, before any step (`--steps=0`: it alone). Current weights, not
averaged ones; seconds are those of training steps alone, compilation beside them. "elbo" is the
bound; "program" is the published program's own estimate from one sample, with a Riemann sum for the
diffusion term (not a bound: vdp/evals/dvp_reference.py). The published program's reference: nELBO
210 / 168 / 138 / 124 nats at steps 50 / 100 / 200 / 400 of batches of 250, on 9,000 images, 1.52 s
a step on 2 cores.
"""

import time

import jax

from benchmarks.common import Bench, arguments, report
from vdp import step
from vdp.data import load as data_load
from vdp.evals import dvp_reference
from vdp.evals.likelihood import mean_and_error
from vdp.evaluator import Evaluator


def main():
    """Prints one JSON line."""
    flags, cfg = arguments(__doc__, default="mnist_dvp", steps=400, every=200, held_out=9000)
    cfg.data.num_validation = flags.held_out
    bench = Bench(cfg)
    split = bench.dataset.splits["validation"]
    held_out = (*data_load.fixed_images(split, bench.facts, cfg.data), split.labels)
    evaluator = Evaluator(bench.mesh, cfg.eval.batch_size, cfg.eval.seed)
    estimators = {
        "elbo": lambda *inputs: step.elbo_step(bench.model, *inputs),
        "program": dvp_reference.ReferenceTerms(bench.model).log_weight,
    }

    def point(current, done, seconds):
        found = {"step": done, "seconds": round(seconds, 1)}
        for name, estimator in estimators.items():
            values = evaluator.map(name, estimator, current.params, current.stats, held_out)
            found[name] = mean_and_error(values["value"] if name == "elbo" else values)
        return found

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
    results = {"config": flags.config, "seed": cfg.seed, "batch_size": cfg.train.batch_size}
    report("hierarchy_start", results | {"compile_seconds": compile_seconds, "curve": curve})


if __name__ == "__main__":
    main()
