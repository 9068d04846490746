"""The settings of a run: every field of a config with its default, its type and what it may be.

Checked when they are made, before anything is built; nothing below the drivers sees a ConfigDict.
"""

from vdp.settings.describing import Describe
from vdp.settings.evaluation import ESTIMATORS, SPLITS, Codec, Eval, Sample
from vdp.settings.sections import (
    Checkpoint,
    Data,
    Log,
    Optim,
    Settings,
    Train,
)

__all__ = [
    "ESTIMATORS",
    "SPLITS",
    "Checkpoint",
    "Codec",
    "Data",
    "Describe",
    "Eval",
    "Log",
    "Optim",
    "Sample",
    "Settings",
    "Train",
]
