"""The laws of a likelihood: masses that sum to one, and samples that have them."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vdp.checks import outputs
from vdp.checks.report import ERRORS, Report, Verdict, close, tried, unreached
from vdp.types import AnyArray, Array, Likelihood, Shape

MOST = 1 << 17  # images that are enumerated
OUTPUTS = 4  # of one pixel each
DRAWS = 4000
ENOUGH = 20  # expected draws of what is counted together


@dataclasses.dataclass(kw_only=True, eq=False)
class _Case:
    """A likelihood of images of one shape, with outputs of random features."""

    likelihood: Any
    x_shape: tuple[int, ...]
    levels: int
    seed: int

    def key(self, purpose: int) -> Array:
        return jax.random.fold_in(jax.random.key(self.seed), purpose)

    def rng(self, purpose: int) -> np.random.Generator:
        """Of what is given to the likelihood: nothing is compiled for its numbers."""
        return np.random.default_rng([self.seed, purpose])

    def outputs(self, num: int, shape: Shape, scale: float = 1.0) -> Array:
        height, width, channels = shape
        features = self.likelihood.num_features(channels)
        drawn = scale * self.rng(0).standard_normal((num, height, width, features), np.float32)
        return self.likelihood.attach(self.likelihood.init(), jnp.asarray(drawn))

    @property
    def of_a_pixel(self) -> np.ndarray:
        """OUTPUTS outputs of one pixel, [OUTPUTS, 1, 1, K]; parameters may differ by place."""
        return np.asarray(self.outputs(OUTPUTS, self.x_shape))[:, :1, :1]

    def images(self, num: int) -> np.ndarray:
        shape = (num, *self.x_shape)
        return self.rng(1).integers(0, self.levels, shape).astype(self.dtype)

    @functools.cached_property
    def log_prob(self) -> Callable[[AnyArray, AnyArray], Array]:
        """The likelihood's, compiled."""
        return jax.jit(self.likelihood.log_prob)

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """DRAWS images of the same outputs, drawn once for all laws."""
        given = np.repeat(self.outputs(1, self.x_shape), DRAWS, axis=0)
        return np.asarray(jax.jit(self.likelihood.sample)(given, self.key(3)))

    @property
    def dtype(self):
        return np.uint8 if self.levels <= 256 else np.uint16

    def pixels(self, channels: int) -> np.ndarray:
        """Every image of one pixel, [levels^channels, 1, 1, channels]."""
        values = itertools.product(range(self.levels), repeat=channels)
        return np.asarray(list(values), self.dtype).reshape(-1, 1, 1, channels)

    @functools.cached_property
    def masses(self) -> np.ndarray:
        """The probability of each of `pixels` at OUTPUTS outputs, [OUTPUTS, levels^channels]."""
        channels = self.x_shape[2]
        pixels = self.pixels(channels)
        at = lambda given: self.log_prob(np.repeat(given[None], len(pixels), axis=0), pixels)
        every = [at(given) for given in self.of_a_pixel]
        return np.exp(np.asarray(every, np.float64))


def check_likelihood(
    likelihood: Likelihood,
    x_shape: Shape = (4, 4, 1),
    *,
    levels: int = 256,
    name: str = "likelihood",
    seed: int = 0,
) -> Report:
    """Tries the laws of a likelihood of images with integer levels, in seconds.

    Args:
      likelihood: any that keeps `vdp.types.Likelihood`.
      x_shape: (H, W, C) of the images.
      levels: how many an image has; what the likelihood was made for.
      name: in the report.
      seed: of everything random.

    Returns:
      The report; `print` it, or `require` its laws.
    """
    case = _Case(likelihood=likelihood, x_shape=tuple(x_shape), levels=levels, seed=seed)

    def shapes() -> Verdict:
        outputs.of_likelihood(likelihood, x_shape)
        return True, f"images {tuple(x_shape)} of {levels} levels, values [B] in float32"

    enumerable = functools.cache(lambda: _enumerable(case))  # its masses serve two laws
    laws: dict[str, Callable[[], Verdict]] = {
        "shapes and types": shapes,
        "jit changes nothing": lambda: _jit(case),
        "no example of a batch influences another": lambda: _alone(case),
        "finite at extremes, in bfloat16 too": lambda: _extremes(case),
        "gradients reach outputs and parameters": lambda: _gradients(case),
        "samples are levels": lambda: _levels(case),
    }
    if likelihood.discrete:
        laws["masses over all levels sum to one"] = lambda: _masses(case, enumerable())
        laws["samples have these masses"] = lambda: _frequencies(enumerable())
        laws["the mean is that of the samples"] = lambda: _mean(case)
    else:
        known = "the density of a pixel is known at its levels alone"
        laws["the density integrates to one"] = lambda: (None, known)
    return tried(name, laws)


def _jit(case: _Case) -> Verdict:
    given, images = case.outputs(3, case.x_shape), jnp.asarray(case.images(3))
    plain = case.likelihood.log_prob(given, images)
    return close(plain, case.log_prob(given, images), "compiled and not")


def _alone(case: _Case) -> Verdict:
    """The first of three, with two others beside it than before: nothing is compiled for that."""
    every = case.outputs(5, case.x_shape), case.images(5)
    at = lambda *rows: np.asarray(case.log_prob(*(np.asarray(a)[[*rows]] for a in every)))[:1]
    return close(at(0, 1, 2), at(0, 3, 4), "beside two examples and two others")


def _extremes(case: _Case) -> Verdict:
    ends = np.array([0, case.levels - 1], case.dtype).reshape(2, 1, 1, 1)
    images = jnp.asarray(np.broadcast_to(ends, (2, *case.x_shape)))

    @jax.jit
    @jax.value_and_grad
    def total(given, scale):
        scaled = (scale * given).astype(jnp.bfloat16)
        return case.likelihood.log_prob(scaled, images).sum()

    for scale in (0.0, 1.0, 1e3):
        value, gradient = total(case.outputs(2, case.x_shape), scale)
        if not (jnp.isfinite(value) and jnp.isfinite(gradient).all()):
            return False, f"outputs times {scale:g}: the log-probability or its gradient is not"
    return True, "outputs times 0, 1 and 1,000"


def _gradients(case: _Case) -> Verdict:
    height, width, channels = case.x_shape
    shape = (3, height, width, case.likelihood.num_features(channels))
    features = case.rng(0).standard_normal(shape, np.float32)

    def total(params, features):
        return case.likelihood.log_prob(
            case.likelihood.attach(params, features), case.images(3)
        ).sum()

    params = case.likelihood.init()
    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(params, features)
    wrong = " and ".join(filter(None, (unreached(tree, "the features") for tree in gradients)))
    return not wrong, wrong or f"{len(jax.tree.leaves(params))} arrays of parameters"


def _levels(case: _Case) -> Verdict:
    drawn = case.samples
    low, high = int(drawn.min()), int(drawn.max())
    return low >= 0 and high < case.levels, f"from {low} to {high} of 0 to {case.levels - 1}"


def _enumerable(case: _Case) -> _Case | None:
    """The case, with fewer levels where there are too many to enumerate; None where it cannot."""
    channels = case.x_shape[2]
    if case.levels**channels <= MOST:
        return case
    few = int(MOST ** (1 / channels))
    fields = {f.name for f in dataclasses.fields(case.likelihood)} if _is_data(case) else set()
    if "levels" in fields and few >= 2:
        fewer: Any = dataclasses.replace(case.likelihood, levels=few)
        return dataclasses.replace(case, likelihood=fewer, levels=few)
    return None


def _is_data(case: _Case) -> bool:
    return dataclasses.is_dataclass(case.likelihood)


def _masses(case: _Case, small: _Case | None) -> Verdict:
    channels = case.x_shape[2]
    if small is None:
        return None, f"{case.levels}^{channels} values of a pixel are too many to sum"
    totals = small.masses.sum(1)
    worst = float(totals[np.argmax(np.abs(totals - 1))])
    said = f"the {small.levels}^{channels} values of one pixel have the mass {worst:.6g}"
    return abs(worst - 1) <= 1e-3, f"{said}; 1 ± 0.001 is allowed"


def _frequencies(small: _Case | None) -> Verdict:
    if small is None:
        return None, "too many values of a pixel"
    channels = small.x_shape[2]
    digits = small.levels ** np.arange(channels)[::-1]
    given = np.repeat(small.of_a_pixel, 4 * DRAWS, axis=0)
    drawn = np.asarray(jax.jit(small.likelihood.sample)(given, small.key(3)), np.int64)
    values = (drawn.reshape(-1, channels) @ digits).reshape(OUTPUTS, -1)
    pairs = zip(values, small.masses, strict=True)
    p = min(_chi_square(value, masses) for value, masses in pairs)
    said = f"{OUTPUTS} pixels drawn {values.shape[1]:,} times, smallest p-value {p:.2g}"
    return p > 1e-7, f"{said}; 1e-07 or less breaks the law"


def _chi_square(values: np.ndarray, masses: np.ndarray) -> float:
    """The p-value of values [N] under their masses [K].

    Rare values are counted together in groups of ENOUGH expected draws; of the few that are left
    the p-value is that of a Poisson variable, and the smaller one counts.
    """
    from scipy import stats  # takes a second to import, in every command

    counts = np.bincount(values, minlength=len(masses)).astype(np.float64)
    wanted = masses / masses.sum() * len(values)
    if len(counts) > len(masses):
        return 0.0
    rare = wanted < ENOUGH
    groups, group, expected = [], 0, 0.0
    for mass in wanted[rare]:
        groups.append(group)
        expected += mass
        if expected >= ENOUGH:
            group, expected = group + 1, 0.0
    together = lambda x: np.bincount(groups, x[rare], minlength=group + 1)
    *full, few = together(wanted)
    *of_full, of_few = together(counts)
    left = float(stats.poisson.sf(of_few - 1, few))
    wanted, observed = np.append(wanted[~rare], full), np.append(counts[~rare], of_full)
    if len(wanted) < 2:
        return left
    test = stats.chisquare(observed, wanted * observed.sum() / wanted.sum())
    return min(float(test.pvalue), left)


def _mean(case: _Case) -> Verdict:
    if not getattr(case.likelihood, "mean_is_exact", True) and case.x_shape[-1] > 1:
        return None, "with channels that depend on each other its mean is an approximation"
    mean = np.asarray(case.likelihood.mean(case.outputs(1, case.x_shape)), np.float64)[0]
    drawn = case.samples.astype(np.float64) / (case.levels - 1)
    error = drawn.std(0) / np.sqrt(len(drawn))
    difference = np.abs(drawn.mean(0) - mean)
    worst = float(np.max(difference / (error + 1e-4)))
    said = f"the largest difference is {worst:.2g} standard errors; {ERRORS} are allowed"
    return worst <= ERRORS, said
