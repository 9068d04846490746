"""What every prior costs beside the normal one: training steps, samples, compile time.

python -m benchmarks.priors --config=mnist_dcgan [--rounds=N] [--steps=N] [--num=N]
    [--sampler_steps=N] [--train_times=N] [--config.FIELD=VALUE ...]

One config with each of its priors, timed in turn in one process; ratios are to the normal prior's
median. Samples are `num` latents (diffusion: `sampler_steps` ancestral steps, one program) and,
with the decoder, images. `train_times` are those of an image in a step of a diffusion (0: the
config's). Synthetic images of the config's shape where no data.dir is given.
"""

import statistics
import sys

import jax

from benchmarks import command
from benchmarks.common import Bench, Training, arguments, report, time_in_turn
from vdp import variants

DIFFUSIONS = ("ddpm", "vdm")


class Case:
    """One prior: its compiled step and samplers."""

    def __init__(self, prior: str, flags, argv: list[str]):
        joint = "," if ":" in flags.config else ":"
        if flags.train_times and prior in DIFFUSIONS:
            argv = [*argv, f"--config.model.prior.train_times={flags.train_times}"]
        _, cfg = arguments("", argv=[f"--config={flags.config}{joint}prior={prior}", *argv])
        self.bench = bench = Bench(cfg)
        self.training, self.num_steps = Training(bench).compile(), flags.steps
        start = self.training.whole.params, self.training.whole.stats
        self.params, self.stats = jax.tree.map(jax.numpy.copy, start)
        diffusion = hasattr(bench.model.prior, "denoising")
        options = {"sampler_steps": flags.sampler_steps} if diffusion else {}
        model, shape = bench.model, bench.facts.shape
        self.draw_latents = jax.jit(
            lambda p, s, rng: model.sample_latents(p, s, rng, flags.num, **options)
        )
        self.draw_images = jax.jit(
            lambda p, s, rng: model.sample(p, s, rng, flags.num, x_shape=shape, **options)
        )

    def steps(self):
        """Some training steps."""
        self.training.steps(self.num_steps)

    def latents(self):
        """Draws latents."""
        self.draw_latents(self.params, self.stats, self.bench.key).block_until_ready()

    def images(self):
        """Draws images."""
        self.draw_images(self.params, self.stats, self.bench.key).block_until_ready()


def main():
    """Prints one JSON line."""
    counts = dict(rounds=5, steps=10, num=1000, sampler_steps=50, train_times=0)
    flags, _ = arguments(__doc__, default="mnist_dcgan", **counts)
    argv = [item for item in sys.argv[1:] if item.startswith("--config.")]
    cases = {prior: Case(prior, flags, argv) for prior in reversed(variants.PRIORS)}
    results = {"config": flags.config, "num": flags.num, "sampler_steps": flags.sampler_steps}
    for what in ("steps", "latents", "images"):
        calls = {name: getattr(case, what) for name, case in cases.items()}
        seconds = time_in_turn(calls, rounds=flags.rounds)
        steps = cases["normal"].training.taken(flags.steps)
        per = steps if what == "steps" else 1
        medians = {name: statistics.median(values) / per for name, values in seconds.items()}
        results[f"{what}_ms"] = {name: round(1e3 * m, 3) for name, m in medians.items()}
        ratios = {  # of each round, so that its noise is known
            name: [a / b for a, b in zip(values, seconds["normal"], strict=True)]
            for name, values in seconds.items()
        }
        results[f"{what}_ratio"] = {n: round(statistics.median(r), 3) for n, r in ratios.items()}
        if flags.rounds > 1:
            results[f"{what}_ratio_se"] = {
                n: round(statistics.stdev(r) / len(r) ** 0.5, 3) for n, r in ratios.items()
            }
    trained = {name: case.training for name, case in cases.items()}
    results["compile_seconds"] = {
        name: round(t.trace_seconds + t.compile_seconds, 1) for name, t in trained.items()
    }
    results["prior_parameters"] = {n: c.bench.parameters["prior"] for n, c in cases.items()}
    report("priors", results)


if __name__ == "__main__":
    command.run(main)
