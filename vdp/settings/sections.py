"""The sections of a config, one frozen dataclass each; `Settings` holds them all.

What a component is, `model`, stays a nested mapping with names: `vdp.build` reads it.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from vdp.errors import UserError, shown
from vdp.settings.describing import Describe
from vdp.settings.evaluation import Codec, Eval, Sample
from vdp.settings.rules import (
    Amount,
    Between,
    Checked,
    Count,
    Natural,
    OneOf,
    Positive,
    Seed,
    Share,
    Size,
)

FIGURES = ("png", "pdf", "svg")
INIT_PARTS = ("encoder_decoder", "all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Checked):
    """Which images, and what becomes of them."""

    path: ClassVar[str] = "config.data."
    name: str | None = None
    dir: str | None = None  # default: $VDP_DATA/<name>
    download: bool = False  # let tensorflow-datasets fetch what is missing
    verify: bool = True  # compare with published checksums and counts
    levels: Annotated[int, Between(0, 256, closed=True)] = 0  # greys are scaled to; 0: as stored
    resize: str = ""  # HxW: the shorter side is resized, the centre kept; "": as stored
    background: Annotated[str, OneOf("white", "black")] = "white"  # behind what is transparent
    num_validation: Natural = 0  # held out of the training split
    split_seed: Seed = 0
    binarization: Annotated[str, OneOf("none", "dynamic")] = "none"
    encoder_input: Annotated[str, OneOf("target", "grey")] = "target"  # of binarised images
    binarization_seed: Seed = 0  # of the one draw that evaluation uses
    augmentation: Annotated[str, OneOf("none", "flip")] = "none"
    placement: Annotated[str, OneOf("auto", "device", "host")] = "auto"  # of training images

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels == 1:
            raise UserError("config.data.levels=1 leaves no grey: choose 2 to 256, or 0, as stored")
        if self.resize and not re.fullmatch(r"[1-9][0-9]{0,3}x[1-9][0-9]{0,3}", self.resize):
            raise UserError(
                f"config.data.resize is HEIGHTxWIDTH in pixels, like 32x32, not {self.resize!r}"
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """`resize` as (H, W); None where images stay as they are."""
        height, _, width = self.resize.partition("x")
        return (int(height), int(width)) if self.resize else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optim(Checked):
    """The optimiser and its learning rate."""

    path: ClassVar[str] = "config.optim."
    name: Annotated[str, OneOf("adam", "adamw", "adamax")] = "adamw"
    learning_rate: Amount = 1e-3
    final_learning_rate: Amount = 0.0
    schedule: Annotated[str, OneOf("cosine", "linear", "constant", "wsd")] = "cosine"
    decay_steps: Natural = 0  # of wsd, at its end; 0: a tenth of train.steps
    warmup_steps: Natural = 0
    warmup_epochs: Amount = 0.0  # above 0 it decides warmup_steps
    warmup_stairs: Natural = 0  # equal steps of the warm-up; 0: a line from 0
    b1: Share = 0.9
    b2: Share = 0.999
    eps: Positive = 1e-8
    weight_decay: Amount = 0.0  # decoupled
    l2: Amount = 0.0  # in the gradient, but not of the points of a prior
    clip_norm: Amount = 0.0  # global norm; 0 switches it off
    gradient_unit: Annotated[str, OneOf("nats", "bits_per_dim")] = "nats"  # of what is clipped
    groups: Mapping[str, Amount] = dataclasses.field(  # rate multipliers by role or path; 0 freezes
        default_factory=lambda: dict(encoder=1.0, decoder=1.0, prior=1.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "adam" and self.weight_decay:
            raise UserError(
                "config.optim.weight_decay is decoupled: choose optim.name=adamw, or use optim.l2"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Checked):
    """How long, on how many images at once, and how it is averaged."""

    path: ClassVar[str] = "config.train."
    steps: Count = 1000
    epochs: Amount = 0.0  # above 0 it decides steps
    kl_warmup_epochs: Amount = 0.0  # above 0 it decides model.kl_warmup_steps
    patience: Natural = 0  # validations in a row without a better one, then it stops; 0: no limit
    seconds: Amount = 0.0  # of steps alone, then it stops; 0: no limit
    batch_size: Size = 128
    microbatches: Count = 1  # parts of a batch, one after the other, to save memory
    ema_decay: Share = 0.999
    ema_warmup: bool = True  # min(ema_decay, (1 + t)/(10 + t)) at step t
    steps_per_dispatch: Natural = 0  # 0: 1 on CPU, up to 100 on accelerators
    max_bad_steps: Natural = 10  # non-finite updates skipped before it stops
    deterministic: bool = False  # deterministic GPU operations, for bitwise resume there
    quick_compile: bool = False  # programs that are ready sooner and slower on CPUs: short runs
    fsdp: bool = False  # shard parameters over the devices
    init_from: str | None = None  # a workdir, whose parameters the new run starts with
    init_parts: Annotated[str, OneOf(*INIT_PARTS)] = "encoder_decoder"  # or all: the prior as well


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log(Checked):
    """What is written while it trains."""

    path: ClassVar[str] = "config.log."
    every: Count = 100  # steps between lines of metrics.jsonl
    tensorboard: bool = True
    wandb: Annotated[str, OneOf("off", "offline", "online")] = "off"  # Weights & Biases
    profile_steps: Natural = 0  # steps in a jax.profiler trace; 0: none
    figures: Annotated[tuple[str, ...], OneOf(*FIGURES)] = ("png",)  # formats of every picture

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.figures:
            raise UserError(f"config.log.figures is empty: name {', '.join(FIGURES)}, or several")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint(Checked):
    """When states are saved, and how many are kept besides the best."""

    path: ClassVar[str] = "config.checkpoint."
    every: Natural = 0  # steps; 0: at each validation
    keep_latest: Count = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """A whole config.

    Attributes:
      seed: with the step it determines all randomness of training.
      model: the nested spec of the model: mappings with `name`, built by `vdp.build`.
      notes: why fields are what they are where the config chose them for the data, each as
        "FIELD: why".
    """

    path: ClassVar[str] = "config."

    seed: Seed = 0
    notes: tuple[str, ...] = ()
    data: Data = dataclasses.field(default_factory=Data)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    eval: Eval = dataclasses.field(default_factory=Eval)
    sample: Sample = dataclasses.field(default_factory=Sample)
    codec: Codec = dataclasses.field(default_factory=Codec)
    log: Log = dataclasses.field(default_factory=Log)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)
    describe: Describe = dataclasses.field(default_factory=Describe)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, Mapping):
            raise UserError(f"config.model holds fields, and is not {shown(self.model)}")
        _check_values("config.model", self.model)
        if self.model.get("training") == "prior" and not self.train.init_from:
            raise UserError(
                "training=prior is the second of two stages: name the first stage's workdir in "
                "config.train.init_from"
            )

    @property
    def kl_warmup(self) -> int:
        """Steps in which the weight of the rate rises; 0 where the loss has no such weight."""
        alone = self.model.get("training") == "prior"
        return 0 if alone else int(self.model.get("kl_warmup_steps") or 0)

    def replace(self, **sections: Any) -> "Settings":
        """The settings with other values: `settings.replace(train=dict(steps=5), seed=1)`."""
        changed: dict[str, Any] = {}
        for name, fields in sections.items():
            section = getattr(self, name)
            is_section = dataclasses.is_dataclass(section)
            changed[name] = dataclasses.replace(section, **fields) if is_section else fields
        return dataclasses.replace(self, **changed)


def _check_values(name: str, value: Any) -> None:
    """Refuses what no field of a component can be: config.json holds it, and it is a number."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise UserError(f"a field of {name} has a name, and is not {shown(key)}")
            _check_values(f"{name}.{key}", entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            _check_values(f"entry of {name}", entry)
    elif not isinstance(value, str | bool | int | float | None):
        raise UserError(f"{name} needs a number, a text, or several, not {shown(value)}")
    elif isinstance(value, float) and math.isnan(value):
        raise UserError(f"{name} is not a number")
