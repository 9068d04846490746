"""A linear-Gaussian VAE whose log p(x) is known, under a prior of known density or a diffusion.

z ~ N(0, S) of DIMS dimensions, x = W z + noise. It is written in two bases of z, which give one
and the same model of x: in the eigenbasis of S its prior is a `normal` one, in another basis it is
a diffusion whose denoiser is E[eps | y] itself, so that nothing of a bound is lost in training.
q(z|x) is the best diagonal Gaussian, made a little wider.
"""

import dataclasses
import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats as densities

from vdp import build
from vdp.diffusion import process
from vdp.types import Batch

DIMS, X_SHAPE, LEVELS = 8, (6, 6, 1), 256
SCALE, WIDER = 0.1, 0.2  # deviation of a pixel's noise; log-variance that q has too much
SPECTRUM = tuple(np.geomspace(0.1, 2.0, DIMS))  # eigenvalues of S
GAMMA_0, GAMMA_1, STEPS = -10.0, 10.0, 100


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
    """Draws of the model, rounded to levels and clipped, as one pixel in a hundred is."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(num, DIMS)) * np.sqrt(SPECTRUM) @ W.T
    x = x + SCALE * rng.normal(size=x.shape)
    x = np.clip(np.rint((x + 1) / 2 * (LEVELS - 1)), 0, LEVELS - 1)
    x = x.astype(np.uint8).reshape(num, *X_SHAPE)
    return Batch(target=x, input=x, label=np.zeros(num, np.int32))


def variance(tag: str) -> np.ndarray:
    """Variances of z in the basis of S under the model of a tag, [DIMS].

    Under a diffusion z = y_0/alpha_0 + noise of variance exp gamma_0. At T=inf and by the flow y_0
    has the variance of diffused draws of S; at T=n every step is affine, and keeps it Gaussian.
    """
    spectrum = np.array(SPECTRUM)
    if tag == "exact":
        return spectrum
    var = _diffused(spectrum) if tag in ("T=inf", "ode") else _stepped(spectrum, int(tag[2:]))
    return var * (1 + np.exp(GAMMA_0)) + np.exp(GAMMA_0)


def exact(batch: Batch, tag: str) -> np.ndarray:
    """Log p(x) of the model that an estimate is of, [B]."""
    covariance = W @ np.diag(variance(tag)) @ W.T + SCALE**2 * np.eye(len(W))
    x = 2 * np.asarray(batch.target, np.float64).reshape(len(batch.target), -1) / (LEVELS - 1) - 1
    return densities.multivariate_normal(np.zeros(len(W)), covariance).logpdf(x)


def _alpha2(gamma: float) -> float:
    return 1 / (1 + np.exp(gamma))


def _diffused(spectrum: np.ndarray, gamma: float = GAMMA_0) -> np.ndarray:
    return _alpha2(gamma) * spectrum + 1 - _alpha2(gamma)


def _stepped(spectrum: np.ndarray, steps: int) -> np.ndarray:
    """Variances of y_0 that the ancestral chain of that denoiser ends with."""
    gammas, var = np.linspace(GAMMA_1, GAMMA_0, steps + 1), np.ones(DIMS)
    for t, s in itertools.pairwise(gammas):
        k, noise_t = -np.expm1(s - t), 1 - _alpha2(t)
        slope = np.sqrt(_alpha2(s) / _alpha2(t)) * (1 - k * noise_t / _diffused(spectrum, t))
        var = slope**2 * var + (1 - _alpha2(s)) * k
    return var
