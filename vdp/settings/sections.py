"""The sections of a config, one frozen dataclass each; `Settings` holds them all.

What a component is, `model`, stays a nested mapping with names: `vdp.build` reads it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from vdp.errors import UserError
from vdp.settings.rules import AtLeast, Between, OneOf, Section

SPLITS = ("train", "validation", "test")
ESTIMATORS = ("elbo", "elbo_discrete", "elbo_ode", "iwae", "iwae_ode", "dvp_reference")
FEATURES = ("classifier", "inception")  # of FID, besides dotted names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Section):
    """Which images, and what becomes of them."""

    section: ClassVar[str] = "data"
    name: str | None = None
    dir: str | None = None  # default: $VDP_DATA/<name>
    download: bool = False  # let tensorflow-datasets fetch what is missing
    verify: bool = True  # compare with published checksums and counts
    num_validation: Annotated[int, AtLeast(0)] = 0  # held out of the training split
    split_seed: Annotated[int, AtLeast(0)] = 0
    binarization: Annotated[str, OneOf("none", "dynamic")] = "none"
    encoder_input: Annotated[str, OneOf("target", "grey")] = "target"  # of binarised images
    binarization_seed: Annotated[int, AtLeast(0)] = 0  # of the one draw that evaluation uses
    augmentation: Annotated[str, OneOf("none", "flip")] = "none"
    placement: Annotated[str, OneOf("auto", "device", "host")] = "auto"  # of training images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optim(Section):
    """The optimiser and its learning rate."""

    section: ClassVar[str] = "optim"
    name: Annotated[str, OneOf("adam", "adamw", "adamax")] = "adamw"
    learning_rate: Annotated[float, AtLeast(0)] = 1e-3
    final_learning_rate: Annotated[float, AtLeast(0)] = 0.0
    schedule: Annotated[str, OneOf("cosine", "linear", "constant", "wsd")] = "cosine"
    decay_steps: Annotated[int, AtLeast(0)] = 0  # of wsd, at its end; 0: a tenth of train.steps
    warmup_steps: Annotated[int, AtLeast(0)] = 0
    warmup_stairs: Annotated[int, AtLeast(0)] = 0  # equal steps of the warm-up; 0: a line from 0
    b1: Annotated[float, Between(0, 1)] = 0.9
    b2: Annotated[float, Between(0, 1)] = 0.999
    eps: Annotated[float, AtLeast(0)] = 1e-8
    weight_decay: Annotated[float, AtLeast(0)] = 0.0  # decoupled
    l2: Annotated[float, AtLeast(0)] = 0.0  # in the gradient
    clip_norm: Annotated[float, AtLeast(0)] = 0.0  # global norm; 0 switches it off
    gradient_unit: Annotated[str, OneOf("nats", "bits_per_dim")] = "nats"  # of what is clipped
    groups: Mapping[str, float] = dataclasses.field(  # rate multipliers by role or path; 0 freezes
        default_factory=lambda: dict(encoder=1.0, decoder=1.0, prior=1.0)
    )

    def __post_init__(self):
        super().__post_init__()
        if self.name == "adam" and self.weight_decay:
            raise UserError(
                "config.optim.weight_decay is decoupled: choose optim.name=adamw, or use optim.l2"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Section):
    """How long, on how many images at once, and how it is averaged."""

    section: ClassVar[str] = "train"
    steps: Annotated[int, AtLeast(1)] = 1000
    seconds: Annotated[float, AtLeast(0)] = 0.0  # of steps alone, then it stops; 0: no limit
    batch_size: Annotated[int, AtLeast(1)] = 128
    ema_decay: Annotated[float, Between(0, 1)] = 0.999
    ema_warmup: bool = True  # min(ema_decay, (1 + t)/(10 + t)) at step t
    steps_per_dispatch: Annotated[int, AtLeast(0)] = 0  # 0: 1 on CPU, 100 on accelerators
    max_bad_steps: Annotated[int, AtLeast(0)] = 10  # non-finite updates skipped before it stops
    deterministic: bool = False  # deterministic GPU operations, for bitwise resume there
    fsdp: bool = False  # shard parameters over the devices
    init_from: str | None = None  # a workdir: its encoder and decoder, for a second stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(Section):
    """What is estimated, of which checkpoint, on which images."""

    section: ClassVar[str] = "eval"
    every: Annotated[int, AtLeast(1)] = 1000  # steps between validations
    estimators: Annotated[tuple[str, ...], OneOf(*ESTIMATORS, "fid")] = ("elbo",)
    split: Annotated[str, OneOf(*SPLITS)] = "test"
    checkpoint: str = "best"  # best | latest | a step
    batch_size: Annotated[int, AtLeast(1)] = 250
    iwae_samples: Annotated[int, AtLeast(1)] = 64
    iwae_chunk: Annotated[int, AtLeast(1)] = 8
    max_examples: Annotated[int, AtLeast(0)] = 0  # 0: the whole split
    seed: Annotated[int, AtLeast(0)] = 0
    fid_features: str = "classifier"  # or classifier:WORKDIR, inception:FILE, a dotted name
    fid_reference: Annotated[str, OneOf(*SPLITS)] = "train"  # samples are compared with this split
    fid_samples: Annotated[int, AtLeast(2)] = 10_000

    def __post_init__(self):
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
class Sample(Section):
    """How pictures and samples are drawn."""

    section: ClassVar[str] = "sample"
    num: Annotated[int, AtLeast(1)] = 100
    checkpoint: str = "best"
    seed: Annotated[int, AtLeast(0)] = 0
    sampler: str = ""  # of diffusion priors: ancestral | ddim | dpmpp | ode; "" is their own
    sampler_steps: Annotated[int, AtLeast(0)] = 0  # 0 is their own number
    eta: Annotated[float, Between(0, 1, closed=True)] = 0.0  # of ddim
    temperature: Annotated[float, AtLeast(0)] = 1.0  # factor on the deviations of prior draws
    z_temperature: tuple[float, ...] = ()  # the same for a hierarchy's z_L..z_1: one, or each

    def options(self) -> dict[str, Any]:
        """What is asked of the prior's sampler; empty means its own."""
        fields = ("sampler", "sampler_steps", "eta", "z_temperature")
        chosen = {field: getattr(self, field) for field in fields if getattr(self, field)}
        return chosen | ({"temperature": self.temperature} if self.temperature != 1 else {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log(Section):
    """What is written while it trains."""

    section: ClassVar[str] = "log"
    every: Annotated[int, AtLeast(1)] = 100  # steps between lines of metrics.jsonl
    tensorboard: bool = True
    profile_steps: Annotated[int, AtLeast(0)] = 0  # steps in a jax.profiler trace; 0: none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint(Section):
    """When states are saved, and how many are kept besides the best."""

    section: ClassVar[str] = "checkpoint"
    every: Annotated[int, AtLeast(0)] = 0  # steps; 0: at each validation
    keep_latest: Annotated[int, AtLeast(1)] = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole config, checked.

    Attributes:
      seed: with the step it determines all randomness of training.
      model: the nested spec of the model: mappings with `name`, built by `vdp.build`.
    """

    seed: int = 0
    data: Data = dataclasses.field(default_factory=Data)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    eval: Eval = dataclasses.field(default_factory=Eval)
    sample: Sample = dataclasses.field(default_factory=Sample)
    log: Log = dataclasses.field(default_factory=Log)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)

    def __post_init__(self):
        if self.model.get("training") != "prior":
            return
        if not self.train.init_from:
            raise UserError(
                "training=prior is the second of two stages: name the first stage's workdir in "
                "--config.train.init_from"
            )
        if self.optim.groups.get("encoder", 1) or self.optim.groups.get("decoder", 1):
            raise UserError(
                "training=prior holds encoder and decoder: set optim.groups.encoder=0 and "
                "optim.groups.decoder=0, as the variant training=prior does"
            )

    def replace(self, **sections: Any) -> "Settings":
        """The settings with other values: `settings.replace(train=dict(steps=5), seed=1)`."""
        changed: dict[str, Any] = {}
        for name, fields in sections.items():
            section = getattr(self, name)
            is_section = dataclasses.is_dataclass(section)
            changed[name] = dataclasses.replace(section, **fields) if is_section else fields
        return dataclasses.replace(self, **changed)
