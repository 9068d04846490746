"""What configs are written with: the argument's grammar, default fields, presets; no jax here."""

from vdp.variants.autoencoder import autoencoder
from vdp.variants.dvp import dvp
from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import Variant, parse
from vdp.variants.own import Facts, own_dvp, own_vae, own_vdm
from vdp.variants.pixel import VDM_BLOCKS, ddpm, vdm
from vdp.variants.presets import classifier, conv_vae, dcgan
from vdp.variants.priors import PRIOR_CHOICES, PRIORS, TRAINING, prior, set_training
from vdp.variants.shapes import MNIST_DEPTHS, MNIST_SHAPE, Shape

__all__ = [
    "MNIST_DEPTHS",
    "MNIST_SHAPE",
    "PRIORS",
    "PRIOR_CHOICES",
    "TRAINING",
    "VDM_BLOCKS",
    "Facts",
    "Shape",
    "Variant",
    "autoencoder",
    "classifier",
    "conv_vae",
    "dcgan",
    "ddpm",
    "defaults",
    "dvp",
    "own_dvp",
    "own_vae",
    "own_vdm",
    "parse",
    "prior",
    "set_training",
    "smoke",
    "vdm",
]
