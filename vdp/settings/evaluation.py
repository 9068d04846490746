"""The sections of a config about a trained run: estimates of it, what it draws and compresses."""

import dataclasses
from typing import Annotated, Any, ClassVar

from vdp.errors import UserError
from vdp.settings.rules import (
    MOST,
    Amount,
    AtLeast,
    Between,
    Checked,
    Count,
    Matches,
    Natural,
    OneOf,
    Positive,
    Seed,
    Size,
    SizeOrNone,
)

SPLITS = ("train", "validation", "test")
ESTIMATORS = (
    "elbo", "elbo_discrete", "elbo_ode", "elbo_refined", "iwae", "iwae_ode", "iwae_refined",
    "dvp_reference",
)  # fmt: skip
REVERSE = ("fixed", "calibrated", "optimised")
CONVERGENCE = ("iwae", "steps", "ode", "fid")
FEATURES = ("classifier", "inception")  # of FID, besides dotted names
Which = Annotated[str, Matches("best|latest|[0-9]{1,10}", "best, latest or a step")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(Checked):
    """What is estimated, of which checkpoint, on which images."""

    path: ClassVar[str] = "config.eval."
    every: Count = 1000  # steps between validations
    every_epochs: Amount = 0.0  # above 0 it decides eval.every
    estimators: Annotated[tuple[str, ...], OneOf(*ESTIMATORS, "fid")] = ("elbo",)
    convergence: Annotated[tuple[str, ...], OneOf(*CONVERGENCE)] = ()  # whether these converged
    split: Annotated[str, OneOf(*SPLITS)] = "test"
    checkpoint: Which = "best"
    batch_size: Size = 250
    reverse: Annotated[str, OneOf(*REVERSE)] = "calibrated"  # a diffusion prior's chain
    num_steps: Natural = 0  # T of that chain; 0 is the prior's own
    iwae_samples: Count = 64
    iwae_chunk: Size = 8
    refine_steps: Count = 100  # of gradient ascent for each image's posterior, where refined
    refine_rate: Positive = 0.05  # of the first of these steps
    max_examples: Natural = 0  # 0: the whole split
    probe: bool = False  # whether labels are read off the codes, by a linear probe and neighbours
    seed: Seed = 0
    fid_features: str = "classifier"  # or classifier:WORKDIR, inception:FILE, a dotted name
    fid_reference: Annotated[str, OneOf(*SPLITS)] = "train"  # samples are compared with this split
    fid_samples: Annotated[int, AtLeast(2, most=MOST)] = 10_000
    ood: tuple[str, ...] = ()  # other data sets, named as data.name is, to be told from this one

    @property
    def wants_features(self) -> bool:
        """Whether samples are compared with images by features."""
        return "fid" in (*self.estimators, *self.convergence)

    def __post_init__(self) -> None:
        super().__post_init__()
        name, _, argument = self.fid_features.partition(":")
        dotted = "." in name and not argument
        if not dotted and (name not in FEATURES or (name == "inception" and not argument)):
            raise UserError(
                f"unknown config.eval.fid_features {self.fid_features!r}: classifier, "
                "classifier:WORKDIR, inception:FILE, or a dotted name of a function(levels) -> "
                "Features"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Checked):
    """How pictures and samples are drawn."""

    path: ClassVar[str] = "config.sample."
    num: Count = 100
    checkpoint: Which = "best"
    seed: Seed = 0
    sampler: str = ""  # of diffusion priors: ancestral | ddim | dpmpp | ode; "" is their own
    sampler_steps: Natural = 0  # 0 is their own number
    eta: Annotated[float, Between(0, 1, closed=True)] = 0.0  # of ddim
    temperature: Amount = 1.0  # factor on the deviations of prior draws
    z_temperature: tuple[Amount, ...] = ()  # the same for a hierarchy's z_L..z_1: one, or each
    clip: Amount = 0.0  # of a diffusion prior's denoised latent, at every step; 0: none
    last_noise: bool = True  # whether a latent is drawn given y_0 (separate form), or is its mean

    def options(self) -> dict[str, Any]:
        """What is asked of the prior's sampler; empty means its own."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {f.name: f.default for f in dataclasses.fields(self)}
        for name in ("num", "checkpoint", "seed"):
            del given[name]
        return {name: value for name, value in given.items() if value != plain[name]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codec(Checked):
    """What is compressed by the run's model, or decompressed, and how."""

    path: ClassVar[str] = "config.codec."
    files: str = "test"  # a split of the run's data, a folder of images, an .npz; or what to unpack
    out: str = ""  # the file NAME.vdp; of decompress an .npz, or a folder for PNG files
    checkpoint: Which = "best"
    batch_size: SizeOrNone = 0  # images that are coded at once; 0: by their number
    bins: Annotated[float, Between(0.5, 1024, closed=True)] = 4.0  # of grids, per deviation
    bound: bool = True  # whether the model's bound on these images is computed beside the rate
    keep: bool = False  # of a damaged file, the images before the damage
