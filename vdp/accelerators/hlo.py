"""Reading the text of a compiled program (HLO): its computations, instructions and shapes.

Only the text is needed, so that programs of every compiler and of other machines can be read. What
counting does not need is skipped.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

BITS = {"pred": 8, "token": 0, "opaque": 0}  # of types whose name does not say it
ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](\{[^{}]*\})?")
SPACE = re.compile(r"S\((\d+)\)")
HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
CALLED = re.compile(
    r"(calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
CHANNEL = re.compile(r"channel_id=(\d+)")
TARGET = re.compile(r'custom_call_target="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a shape: its element type, sizes, and memory space (0 is the main memory)."""

    dtype: str
    sizes: tuple[int, ...]
    space: int

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, without padding."""
        digits = re.search(r"\d+", self.dtype)
        bits = BITS[self.dtype] if self.dtype in BITS else int(digits[0]) if digits else 0
        return math.ceil(math.prod(self.sizes) * bits / 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in its computation.
      opcode: such as "fusion".
      arrays: of its shape, those of a tuple one after the other.
      operands: names of what it reads.
      arguments: the text between the parentheses, where a constant has its value.
      attributes: the text behind them.
      root: whether it is the computation's result.
    """

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    arguments: str
    attributes: str
    root: bool

    @property
    def called(self) -> dict[str, str]:
        """Computations by their role: calls, to_apply, body, condition."""
        return {role: name for role, name in CALLED.findall(self.attributes)}

    @property
    def branches(self) -> list[str]:
        """Computations of a conditional."""
        roles = self.called
        either = [roles[r] for r in ("true_computation", "false_computation") if r in roles]
        listed = BRANCHES.search(self.attributes)
        return either + [
            n.strip().lstrip("%") for n in (listed[1] if listed else "").split(",") if n
        ]

    @property
    def channel(self) -> str:
        """What tells a collective from others; "" where there is none."""
        found = CHANNEL.search(self.attributes)
        return found[1] if found else ""

    @property
    def target(self) -> str:
        """The name of a custom call's function."""
        found = TARGET.search(self.attributes)
        return found[1] if found else ""


Computation = dict[str, Instruction]  # by name, in the order of the schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A whole program.

    Attributes:
      computations: by name.
      entry: the name of the one that runs.
    """

    computations: Mapping[str, Computation]
    entry: str

    def trips(self, loop: Instruction) -> int | None:
        """How often a `while` runs its body; None where that is not known beforehand.

        Known where the compiler has noted it, else where the condition is that something is less
        than one constant, as of jax's loops over a known length, which count from 0.
        """
        if noted := TRIPS.search(loop.attributes):
            return int(noted[1])
        limits, less = set(), False
        for instruction in self._inside(loop.called["condition"]):
            if instruction.opcode == "constant" and instruction.arguments.isdecimal():
                limits.add(int(instruction.arguments))
            less |= "direction=LT" in instruction.attributes
            if instruction.opcode in ("and", "or", "not", "xor"):
                return None  # the comparison is not all that there is to it
        return limits.pop() if less and len(limits) == 1 else None

    def _inside(self, name: str) -> Iterator[Instruction]:
        """Instructions of a computation and of what it calls."""
        for instruction in self.computations[name].values():
            yield instruction
            if "calls" in instruction.called:
                yield from self._inside(instruction.called["calls"])


def parse(text: str) -> Program:
    """The program of `compiled.as_text()`."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if header := HEADER.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif current is not None and (start := LINE.match(line)):
            current[start[2]] = _instruction(start, line)
        elif line.startswith("}"):
            current = None
    return Program(computations=computations, entry=entry or list(computations)[-1])


def _instruction(start: re.Match[str], line: str) -> Instruction:
    rest = line[start.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    rest = rest[len(opcode) :]
    end = _closing(rest)
    arguments = rest[1 : end - 1]
    named = opcode not in ("constant", "parameter", "iota")
    return Instruction(
        name=start[2],
        opcode=opcode,
        arrays=tuple(_arrays(shape)),
        operands=tuple(_operands(arguments)) if named else (),
        arguments=arguments,
        attributes=rest[end:],
        root=bool(start[1]),
    )


def _arrays(shape: str) -> Iterator[Array]:
    for dtype, sizes, layout in ARRAY.findall(shape):
        space = SPACE.search(layout)
        whole = tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size)
        yield Array(dtype, whole, int(space[1]) if space else 0)


def _operands(arguments: str) -> Iterator[str]:
    """Names of operands, which may have their shapes before them."""
    depth, start = 0, 0
    for place, letter in enumerate(arguments + ","):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            words = arguments[start:place].split()
            if words:
                yield words[-1].lstrip("%").rpartition("*/")[2].lstrip("%")
            start = place + 1


def _closing(text: str) -> int:
    """The index after the parenthesis that closes the one at the start of the text."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place + 1
    raise ValueError("a parenthesis is not closed")
