"""What the mistakes of published estimators are worth, in nats, where log p(x) is known exactly.

    python -m benchmarks.estimator_mistakes [--num=N] [--samples=K] [--write]

The model is that of benchmarks/linear_gaussian.py, and the `num` images are its own draws,
clipped. Prints a table in Markdown, with every estimator as `vdp` computes it and with mistakes in
it; --write puts it into docs/estimators.md, between its two comments.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import command
from benchmarks.linear_gaussian import DIMS, STEPS, X_SHAPE, Case, cases, exact, images
from benchmarks.pages import DOCS, marks, write_table
from vdp.diffusion.noise import Times
from vdp.dists import sum_nonbatch
from vdp.errors import Parser
from vdp.metrics import likelihood
from vdp.metrics.convergence import difference
from vdp.runtime import markdown
from vdp.runtime.numbers import with_error
from vdp.types import Batch

POINTS = 25  # of the Riemann sum in the published DVP program, on MNIST and CIFAR10
DRAWS = 100  # of a bound, for each image
CHUNK = 50  # of the draws at once
PAGE = DOCS / "estimators.md"
MARKS = marks("estimator mistakes")
COLUMNS = (
    "estimator",
    "mistake",
    "of the model",
    "nats",
    "exact",
    "error, nats",
    "side of the truth",
)
NONE = "none"


class Exponent:
    """Terms of a bound at one draw, as mistaken estimators have them in place of a weight.

    Args:
      model: whose bound it is.
      sampled: whether -log q(z|x) stands there at the draw, else the closed form of its mean.
      points: of a right-endpoint Riemann sum of the continuous bound; 0: the model's own estimate.
    """

    weight_model = "none"

    def __init__(self, model: Any, *, sampled: bool = False, points: int = 0):
        self.model, self.sampled, self.points = model, sampled, points

    def log_weight(self, params, stats, batch, rng, *, noise=None):
        """The terms, [B]."""
        draw_rng, eps_rng = jax.random.split(rng)
        noise = self.model.draw(draw_rng, batch, purpose="elbo")
        if self.points:
            shape = (len(batch.target), self.points)
            ends = jnp.broadcast_to(jnp.arange(1.0, self.points + 1)[None] / self.points, shape)
            noise = noise.replace(
                diffusion=Times(t=ends, eps=jax.random.normal(eps_rng, (*shape, DIMS)))
            )
        value = self.model.elbo(params, stats, batch, rng, noise=noise).value
        return value + self.sampled * 0.5 * sum_nonbatch(jnp.square(noise.z) - 1)


def log_mean_exp(log_w: jax.Array) -> jax.Array:
    """What an importance-weighted bound does with its K exponents [K, B]."""
    return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))


@dataclasses.dataclass(frozen=True)
class Row:
    """One estimator: what it makes of `num` draws [num, B] of its terms."""

    estimator: str
    mistake: str
    tag: str  # of the model that it is of, or is taken for
    case: Case
    terms: Any  # has `log_weight`
    join: Callable[[jax.Array], jax.Array]

    def values(self, batch: Batch, num: int) -> np.ndarray:
        """The estimate of every image, [B]."""
        how = dict(num_samples=num, chunk=min(CHUNK, num))
        params, stats, key = self.case.params, self.case.stats, jax.random.key(4)
        made = lambda batch: self.join(
            likelihood.log_weights(self.terms, params, stats, batch, key, **how)
        )
        return np.asarray(jax.jit(made)(batch), np.float64)


def _mean(log_w: jax.Array) -> jax.Array:
    return jnp.mean(log_w, axis=0)


def estimators() -> Iterator[Row]:
    """Every row of the table."""
    known, diffusion = cases()
    flow = dataclasses.replace(diffusion, model=diffusion.model.as_ode())
    chain = dataclasses.replace(diffusion, model=diffusion.model.discretized())
    probed = flow.replace(ode_probes=1)
    steps, bound = f"T={STEPS}", Exponent
    riemann = lambda num: f"right-endpoint Riemann sum of {num} points in place of the integral"
    yield Row("elbo", NONE, "exact", known, bound(known.model), _mean)
    yield Row("iwae", NONE, "exact", known, known.model, log_mean_exp)
    closed = "closed-form KL in the exponent"
    yield Row("iwae", closed, "exact", known, bound(known.model), log_mean_exp)
    largest = lambda log_w: jnp.max(log_w, axis=0)
    yield Row("iwae", "largest weight in place of the mean", "exact", known, known.model, largest)
    yield Row("elbo", NONE, "T=inf", diffusion, bound(diffusion.model), _mean)
    for num in (10, POINTS, 100):
        summed = bound(diffusion.model, points=num)
        yield Row("elbo", riemann(num), "T=inf", diffusion, summed, _mean)
    yield Row("elbo_discrete", NONE, steps, chain, bound(chain.model), _mean)
    yield Row("iwae", NONE, steps, chain, chain.model, log_mean_exp)
    noisy = bound(diffusion.model, sampled=True)
    name = "noisy bound on the prior's density (32 times) in the exponent"
    yield Row("iwae", name, "T=inf", diffusion, noisy, log_mean_exp)
    yield Row("iwae_ode", NONE, "ode", flow, flow.model, log_mean_exp)
    hutchinson = bound(probed.model, sampled=True)
    name = "Hutchinson's trace (1 probe) in the exponent"
    yield Row("iwae_ode", name, "ode", probed, hutchinson, log_mean_exp)
    published = bound(diffusion.model, points=POINTS)
    name = f"closed-form entropy and a noisy Riemann sum of {POINTS} points in the exponent"
    yield Row("iwae", name, "T=inf", diffusion, published, log_mean_exp)


def side(error: likelihood.Estimate) -> str:
    """Where an estimate lies, beyond two standard errors."""
    if abs(error["mean"]) <= 2 * (error["se"] or math.inf):
        return "within its error"
    return "**above**" if error["mean"] > 0 else "below"


def cells(row: Row, batch: Batch, samples: int) -> tuple[str, ...]:
    """A row of the table."""
    of_bound = row.join is _mean
    values = row.values(batch, min(DRAWS, samples) if of_bound else samples)
    truth = exact(batch, row.tag)
    error = difference(values, truth)
    numbers = f"{values.mean():.2f}", f"{truth.mean():.2f}"
    size = with_error(error["mean"], error["se"], "+.3f")
    return (f"`{row.estimator}`", row.mistake, f"`{row.tag}`", *numbers, size, side(error))


def table(num: int, samples: int) -> str:
    """The table in Markdown, under what it is of."""
    batch = images(num)
    lines = [cells(row, batch, samples) for row in estimators()]
    rows = "\n".join(markdown.table(COLUMNS, lines))
    return (
        f"{num} images of {math.prod(X_SHAPE)} pixels, z of {DIMS} dimensions, K = {samples:,}; a "
        f"bound is the mean of {min(DRAWS, samples)} draws.\n± is the standard error over images "
        f"of the paired difference from the exact log-density.\n\n{rows}"
    )


def main() -> None:
    """Prints the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--num", type=int, default=128)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    text = table(flags.num, flags.samples)
    print(text)
    if flags.write:
        write_table(text, PAGE, MARKS)


if __name__ == "__main__":
    command.run(main)
