"""What the mistakes of published estimators are worth, in nats, where log p(x) is known exactly.

    python -m benchmarks.estimator_mistakes [--num=N] [--samples=K] [--write]

A linear-Gaussian VAE: z ~ N(0, S) of DIMS dimensions, x = W z + noise. Its `num` images are its own
draws, and its log p(x) is a Gaussian's. It is written in two bases of z, which is one and the same
model of x: in that of S its prior is a `normal` one, in another it is a diffusion whose denoiser is
E[eps | y] itself, so that of a bound nothing is lost in training. q(z|x) is the best diagonal
Gaussian, a little too wide. Prints a table in Markdown, with every estimator as `vdp` computes it,
and with a mistake in it; --write puts it into docs/estimators.md, between its two comments.
"""

import argparse
import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats as densities

from vdp import build
from vdp.diffusion import process
from vdp.diffusion.noise import Times
from vdp.dists import sum_nonbatch
from vdp.metrics import likelihood
from vdp.metrics.convergence import difference
from vdp.types import Batch

DIMS, X_SHAPE, LEVELS = 8, (6, 6, 1), 256
SCALE, WIDER = 0.1, 0.2  # deviation of a pixel's noise; log-variance that q has too much
SPECTRUM = tuple(np.geomspace(0.1, 2.0, DIMS))  # eigenvalues of S
GAMMA_0, GAMMA_1, STEPS = -10.0, 10.0, 100
POINTS = 25  # of the published program's Riemann sum, on MNIST and CIFAR10
DRAWS = 100  # of a bound, for each image
CHUNK = 50  # of the draws at once
PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "estimators.md"
MARKS = "<!-- estimator mistakes -->", "<!-- end of estimator mistakes -->"
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


def orthogonal(num: int, seed: int) -> np.ndarray:
    """A rotation [num, num]."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(num, num)))[0]


ROTATION = orthogonal(DIMS, 1)
W = 0.15 * np.random.default_rng(2).normal(size=(math.prod(X_SHAPE), DIMS))  # in the basis of S


class Affine(nn.Module):
    """One dense layer between any two shapes."""

    @nn.compact
    def __call__(self, x, out_shape, *, train=False):
        """Maps [B, ...] to [B, *out_shape]."""
        return nn.Dense(math.prod(out_shape))(x.reshape(len(x), -1)).reshape(len(x), *out_shape)


class Oracle(nn.Module):
    """E[eps | y] = sigma (alpha^2 S + sigma^2 I)^-1 y of y = alpha z + sigma eps, z ~ N(0, S)."""

    @nn.compact
    def __call__(self, y, time, *, train=False):
        """Maps y [B, DIMS] at times [B] in [0, 1000], which stand for gamma, to eps."""
        self.param("unused", nn.initializers.zeros, ())
        gamma = (GAMMA_0 + (GAMMA_1 - GAMMA_0) * time / 1000)[:, None]
        alpha, sigma = process.alpha(gamma), process.sigma(gamma)
        basis, spectrum = jnp.float32(ROTATION), jnp.float32(SPECTRUM)[None]
        return ((sigma / (alpha**2 * spectrum + sigma**2)) * (y @ basis)) @ basis.T


@dataclasses.dataclass(frozen=True)
class Case:
    """The VAE in one basis: a model with its parameters."""

    model: Any
    params: Any
    stats: Any

    def replace(self, **fields: Any) -> "Case":
        """The case with other fields of its prior."""
        prior = dataclasses.replace(self.model.prior, **fields)
        return dataclasses.replace(self, model=dataclasses.replace(self.model, prior=prior))


def case(prior: dict[str, Any], rotation: np.ndarray) -> Case:
    """The VAE with z in the basis whose axes are the rows of a rotation [DIMS, DIMS]."""
    affine = {"name": f"{Affine.__module__}.Affine"}
    spec = {"name": "vae", "latent_shape": (DIMS,), "encoder": affine, "decoder": affine,
            "prior": prior, "likelihood": {"name": "normal", "scale": SCALE}}  # fmt: skip
    model = build.build("model", spec, levels=LEVELS, input_levels=LEVELS)
    params, stats = model.init(jax.random.key(0), X_SHAPE)
    decoder = W @ rotation.T
    precision = rotation @ np.diag(1 / np.array(SPECTRUM)) @ rotation.T
    precision = precision + decoder.T @ decoder / SCALE**2
    mean = np.linalg.solve(precision, decoder.T / SCALE**2).T
    log_var = WIDER - np.log(np.diag(precision))
    above = log_var - model.log_var_floor  # a softplus of what the network says
    raw = model.log_var_floor + above + np.log(-np.expm1(-above))
    kernel = np.concatenate([mean, np.zeros_like(mean)], axis=1)
    params["encoder"]["Dense_0"] = {"kernel": kernel, "bias": np.append(np.zeros(DIMS), raw)}
    params["decoder"]["net"]["Dense_0"] = {"kernel": decoder.T, "bias": np.zeros(len(W))}
    if prior["name"] == "normal":
        params["prior"] = {"mean": np.zeros(DIMS), "log_var": np.log(SPECTRUM)}
    return Case(model, jax.tree.map(jnp.float32, params), stats)


def cases() -> tuple[Case, Case]:
    """(the VAE with a prior of known density, the same with a diffusion over rotated latents)."""
    schedule = {"name": "linear", "gamma_0": GAMMA_0, "gamma_1": GAMMA_1}
    denoiser = {"name": f"{Oracle.__module__}.Oracle"}
    diffusion = {"name": "vdm", "denoiser": denoiser, "schedule": schedule, "num_steps": STEPS,
                 "parameterization": "eps"}  # fmt: skip
    return case({"name": "normal", "learned": True}, np.eye(DIMS)), case(diffusion, ROTATION)


def images(num: int) -> Batch:
    """Draws of the model, rounded to levels."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(num, DIMS)) * np.sqrt(SPECTRUM) @ W.T
    x = x + SCALE * rng.normal(size=x.shape)
    x = np.clip(np.rint((x + 1) / 2 * (LEVELS - 1)), 0, LEVELS - 1)
    x = x.astype(np.uint8).reshape(num, *X_SHAPE)
    return Batch(target=x, input=x, label=np.zeros(num, np.int32))


def exact(batch: Batch, tag: str) -> np.ndarray:
    """Log p(x) of the model that an estimate is of, [B].

    Under a diffusion z = y_0/alpha_0 + noise of variance exp gamma_0. At T=inf and by the flow y_0
    has the variance of diffused draws of S; at T=n every step is affine, and keeps it Gaussian.
    """
    spectrum = np.array(SPECTRUM)
    var = spectrum
    if tag != "exact":
        var = _diffused(spectrum) if tag in ("T=inf", "ode") else _stepped(spectrum, int(tag[2:]))
        var = var * (1 + np.exp(GAMMA_0)) + np.exp(GAMMA_0)
    covariance = W @ np.diag(var) @ W.T + SCALE**2 * np.eye(len(W))
    x = 2 * np.asarray(batch.target, np.float64).reshape(len(batch.target), -1) / (LEVELS - 1) - 1
    return densities.multivariate_normal(np.zeros(len(W)), covariance).logpdf(x)


def _alpha2(gamma: float) -> float:
    return 1 / (1 + np.exp(gamma))


def _diffused(spectrum: np.ndarray, gamma: float = GAMMA_0) -> np.ndarray:
    return _alpha2(gamma) * spectrum + 1 - _alpha2(gamma)


def _stepped(spectrum: np.ndarray, steps: int) -> np.ndarray:
    """Variances of y_0 that the ancestral chain of that denoiser ends with (VDM, Eq. 27-32)."""
    gammas, var = np.linspace(GAMMA_1, GAMMA_0, steps + 1), np.ones(DIMS)
    for t, s in itertools.pairwise(gammas):
        k, noise_t = -np.expm1(s - t), 1 - _alpha2(t)
        slope = np.sqrt(_alpha2(s) / _alpha2(t)) * (1 - k * noise_t / _diffused(spectrum, t))
        var = slope**2 * var + (1 - _alpha2(s)) * k
    return var


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
    size = f"{error['mean']:+.3f} ± {error['se']:.3f}"
    return (f"`{row.estimator}`", row.mistake, f"`{row.tag}`", *numbers, size, side(error))


def table(num: int, samples: int) -> str:
    """The table in Markdown, under what it is of."""
    batch = images(num)
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    lines += [cells(row, batch, samples) for row in estimators()]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        f"{num} images of {math.prod(X_SHAPE)} pixels, z of {DIMS} dimensions, K = {samples:,}; a "
        f"bound is the mean of {min(DRAWS, samples)} draws. ± is the standard error over images of "
        f"the paired difference from the exact log-density.\n\n{rows}"
    )


def write(text: str, page: pathlib.Path = PAGE) -> None:
    """Puts the table between the two comments of a page."""
    start, end = map(re.escape, MARKS)
    made = f"{MARKS[0]}\n{text}\n{MARKS[1]}"
    whole, found = re.subn(f"{start}.*{end}", lambda _: made, page.read_text(), flags=re.S)
    assert found == 1, f"{page} has not the two comments once"
    page.write_text(whole)


def main() -> None:
    """Prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--num", type=int, default=128)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    text = table(flags.num, flags.samples)
    print(text)
    if flags.write:
        write(text)


if __name__ == "__main__":
    main()
