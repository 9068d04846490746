"""Priors over a latent; one file each, found by its name."""

from vdp.priors.density import DensityPrior

__all__ = ["DensityPrior"]
