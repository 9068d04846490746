"""What `config.describe.target` names: a chip, and how many of them."""

import dataclasses
import math

from vdp.accelerators.chips import CHIPS, GPU, Chip
from vdp.errors import UserError, choose_from

ON_ONE_MACHINE = 8  # GPUs that NVLink joins
SMALLEST = {"v5p": "2x2x1"}  # slice of a machine; 2x2 of the others


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Chips that a program is compiled for.

    Attributes:
      text: as the config names them.
      chip: the kind of all of them.
      topology: the compiler's name for how they are joined.
      devices: how many are used.
    """

    text: str
    chip: Chip
    topology: str
    devices: int


def parse(text: str) -> Target:
    """The target of a text: h100, h100:8 (GPUs of one machine), v5e (one chip), v5e:2x2 (a slice).

    Raises:
      UserError: no such chip (the message lists those there are), or a shape it does not come in.
    """
    name, colon, shape = text.partition(":")
    if name not in CHIPS:
        raise choose_from("chip in config.describe.target", name, CHIPS)
    chip = CHIPS[name]
    if chip.compiler == GPU:
        devices = int(shape) if shape.isdecimal() and len(shape) < 4 else 0 if colon else 1
        if not 1 <= devices <= ON_ONE_MACHINE:
            raise UserError(
                f"config.describe.target={text} is not understood: {name}, or {name}:N for 1 to "
                f"{ON_ONE_MACHINE} of them in one machine"
            )
        return Target(text=text, chip=chip, topology=f"1x1x{devices}", devices=devices)
    smallest = SMALLEST.get(name, "2x2")
    sides = shape.split("x") if colon else smallest.split("x")
    if not all(side.isdecimal() and len(side) < 4 and int(side) for side in sides) or (
        len(sides) != smallest.count("x") + 1
    ):
        raise UserError(
            f"config.describe.target={text} is not understood: {name} for one chip, or a slice as "
            f"{name}:{smallest}"
        )
    devices = math.prod(map(int, sides)) if colon else 1
    return Target(text=text, chip=chip, topology=f"{name}:{'x'.join(sides)}", devices=devices)
