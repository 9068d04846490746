"""A diffusion prior in continuous time with a learned schedule (VDM: Kingma et al. 2021)."""

from vdp.priors.diffusion import DiffusionPrior

make = DiffusionPrior
