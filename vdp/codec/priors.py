"""Priors over one latent, as distributions over a grid of it."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, Float64, Int64

from vdp.codec import chain, flows, trajectories
from vdp.codec.bits_back import BitsBack, Coder
from vdp.codec.gaussians import Gaussians
from vdp.codec.latents import Latent, gaussians, wide
from vdp.codec.tables import Table
from vdp.dists import LOG_2PI, Normal
from vdp.errors import UserError
from vdp.priors.autoregressive import AutoregressivePrior
from vdp.priors.diffusion import DiffusionPrior
from vdp.priors.mixture import MixturePrior
from vdp.priors.normal import NormalPrior
from vdp.priors.trajectory import TrajectoryPrior
from vdp.priors.vamp import VampPrior
from vdp.types import Encode, Params, Shape, Stats

CODED = "normal, mixture, vamp, flow, tarflow, trajectory, ddpm and vdm"
OF_THEIR_OWN: dict[type, Callable[..., Latent]] = {
    DiffusionPrior: chain.over,
    TrajectoryPrior: trajectories.over,
    AutoregressivePrior: flows.over,
}


def over(
    prior: Any,
    params: Params,
    stats: Stats,
    shape: Shape,
    *,
    encode: Encode | None,
    finest: float,
    lanes: int,
    bins: float,
) -> Latent:
    """The latent under a prior, on a grid that is fine enough for its posteriors.

    Args:
      prior: of `vdp.priors`.
      params: of the prior.
      stats: of the prior.
      shape: of one latent.
      encode: images in [0, 1] to q(z|x), for a VampPrior; None where there is none.
      finest: the smallest standard deviation of posteriors.
      lanes: the most images at once.
      bins: of the grid, per smallest deviation.

    Raises:
      UserError: another prior.
    """
    for kind, coded in OF_THEIR_OWN.items():
        if isinstance(prior, kind):
            return coded(prior, params, stats, shape, finest=finest, lanes=lanes, bins=bins)
    shape, width = tuple(shape), finest / bins
    if isinstance(prior, NormalPrior):
        if prior.learned:
            mean, std = wide(params["mean"]), np.exp(0.5 * wide(params["log_var"]))
        else:
            mean, std = np.zeros(shape), np.ones(shape)
        of = lambda count: gaussians(np.broadcast_to(mean, (count, *shape)), std[None], width)
        return Latent(width=width, shape=shape, prior=of)
    if isinstance(prior, MixturePrior):
        log_weights = wide(jax.nn.log_softmax(params["logits"]))
        components = Normal(params["mean"], params["log_var"])
    elif isinstance(prior, VampPrior) and encode is not None:
        log_weights = np.full(prior.num_components, -math.log(prior.num_components))
        components = jax.jit(encode)(prior.pseudo_inputs(params))
    else:
        raise UserError(f"the prior {type(prior).__name__} cannot be coded: {CODED} can")
    mixture = _Mixture(log_weights, components, width)
    return Latent(width=width, shape=shape, prior=mixture)


class _Mixture:
    """A mixture of K Gaussians over the whole latent: the component is borrowed too."""

    def __init__(
        self, log_weights: Float64[np.ndarray, "k"], components: Normal, width: float
    ) -> None:
        self._log_weights = log_weights
        self._mean = wide(components.mean) / width
        self._std = np.exp(0.5 * wide(components.log_var)) / width

    def __call__(self, count: int) -> Coder:
        weights = np.repeat(self._masses(self._log_weights[None]), count, axis=0)
        component = lambda index: Gaussians(mean=self._mean[index], std=self._std[index])
        return BitsBack(prior=Table(masses=weights), likelihood=component, posterior=self._which)

    def _which(self, k: Int64[np.ndarray, "b *s"]) -> Table:
        """The component given the latent, by Bayes' rule."""
        apart = (k[:, None] - self._mean[None]) / self._std[None]
        each = -0.5 * (LOG_2PI + 2 * np.log(self._std[None]) + apart**2)
        joint = self._log_weights[None] + each.reshape(*each.shape[:2], -1).sum(-1)
        return Table(masses=self._masses(joint), borrowed=True)

    @staticmethod
    def _masses(log_masses: Float64[np.ndarray, "b k"]) -> Float32[np.ndarray, "b k"]:
        masses = np.exp(log_masses - log_masses.max(axis=1, keepdims=True))
        return (masses / masses.sum(axis=1, keepdims=True)).astype(np.float32)
