"""What configs are written with: the argument's grammar, default fields, presets; no jax here."""

from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import Variant, parse
from vdp.variants.presets import PRIORS, TRAINING, classifier, dcgan, prior, set_training

__all__ = [
    "PRIORS",
    "TRAINING",
    "Variant",
    "classifier",
    "dcgan",
    "defaults",
    "parse",
    "prior",
    "set_training",
    "smoke",
]
