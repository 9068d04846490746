"""How fast a config trains and samples on this machine.

python -m benchmarks.train --config=NAME [--config.FIELD=VALUE ...] [--rounds=N] [--steps=N]

Compile seconds (cold where JAX_ENABLE_COMPILATION_CACHE=false), memory, steps and images per
second, FLOP/s of the products and convolutions of a gradient, alone and as a share of what this
machine's 3x3 convolutions reach in the same run (float32, 128 channels), and seconds for 1,000
samples. Synthetic images of the config's shape are used where no data.dir is given.
"""

import jax

from benchmarks import command
from benchmarks.common import Bench, Training, arguments, milliseconds, report, time_in_turn
from vdp.modes.describe import describe
from vdp.nets.same_conv import conv3x3

CONVOLUTION = (256, 16, 16, 128)  # of the yardstick: batch, height, width, channels


def yardstick():
    """(a call that runs one forward convolution, its FLOPs)."""
    x = jax.random.normal(jax.random.key(0), CONVOLUTION)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, CONVOLUTION[-1], CONVOLUTION[-1]))
    convolve = jax.jit(conv3x3)
    return lambda: convolve(x, kernel).block_until_ready(), 2 * x.size * kernel[..., 0].size


def main():
    """Prints one JSON line."""
    flags, cfg = arguments(__doc__, rounds=5, steps=20)
    bench = Bench(cfg)
    training = Training(bench).compile()
    start = training.whole.params, training.whole.stats
    params, stats = jax.tree.map(jax.numpy.copy, start)
    draw = jax.jit(
        lambda rng: bench.model.sample(params, stats, rng, 1000, x_shape=bench.facts.shape)
    )
    sample = lambda: draw(bench.key).block_until_ready()
    convolve, convolution_flops = yardstick()
    steps = lambda: training.steps(flags.steps)
    cases = {"steps": steps, "sample": sample, "convolution": convolve}
    ms = milliseconds(time_in_turn(cases, rounds=flags.rounds))
    per_second = 1e3 * training.taken(flags.steps) / ms["steps"]
    gflops = describe(cfg)["flops_per_example"] * cfg.train.batch_size * per_second / 1e9
    peak = convolution_flops / ms["convolution"] / 1e6
    results = {
        "data": cfg.data.name,
        "parameters": bench.parameters["total"],
        "batch_size": cfg.train.batch_size,
        "steps_per_dispatch": bench.chunk_steps,
        "compile_seconds": round(training.trace_seconds + training.compile_seconds, 2),
        "mib": round(training.mib, 1),
        "steps_per_second": round(per_second, 2),
        "images_per_second": round(per_second * cfg.train.batch_size, 1),
        "gflop_per_second": round(gflops, 1),
        "convolution_gflop_per_second": round(peak, 1),
        "share_of_convolution": round(gflops / peak, 3),
        "seconds_per_1000_samples": round(ms["sample"] / 1e3, 4),
    }
    report("train", results)


if __name__ == "__main__":
    command.run(main)
