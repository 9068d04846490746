"""The section of a config about chips that need not be there, for which programs are compiled."""

import dataclasses
from typing import Annotated, ClassVar

from vdp.errors import UserError
from vdp.settings.rules import Checked, OneOf

PROGRAMS = ("train", "eval", "sample")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe(Checked):
    """What `--mode=describe` compiles; no run depends on it."""

    path: ClassVar[str] = "config.describe."
    target: str = ""  # a chip to compile for, like h100, h100:8, v5e, v5e:2x2; "": shapes alone
    programs: Annotated[tuple[str, ...], OneOf(*PROGRAMS)] = ("train",)  # eval, sample: a batch
    fit: bool = False  # find the largest train.batch_size that the chip's memory holds

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit and not self.target:
            raise UserError(
                "config.describe.fit=True is about a chip: name it, as by config.describe.target="
                "h100"
            )
        if not self.programs:
            raise UserError(
                f"config.describe.programs is empty: name {', '.join(PROGRAMS)}, or several"
            )
