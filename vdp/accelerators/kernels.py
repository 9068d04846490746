"""What a compiled program does when it runs: kernels, memory they move, and collectives.

Everything is of one device and of one run of the program. Loops count as often as they run, and of
a conditional the branch with most kernels. Arrays inside a kernel do not count, because registers
and caches hold them. Of an operand that is only read in slices the slices count, of one that is
updated in place the update.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection

from vdp.accelerators.hlo import Array, Computation, Instruction, Program

COMPUTING, MOVING, LIBRARY, COLLECTIVE = "computing", "moving", "library", "collective"
FREE = {  # only give arrays a name, a shape or an order: no kernel
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier",
    "partition-id", "replica-id", "add-dependency", "domain", "get-dimension-size",
}  # fmt: skip
RESHAPING = {  # move numbers without computing
    "copy", "transpose", "reshape", "slice", "dynamic-slice", "dynamic-update-slice", "concatenate",
    "pad", "broadcast", "reverse", "copy-start", "slice-start", "dynamic-slice-start",
}  # fmt: skip
COLLECTIVES = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute",
    "collective-broadcast", "ragged-all-to-all",
)  # fmt: skip
NAMING = (  # calls that run nothing
    "AllocateBuffer", "ConcatBitcast", "Sharding", "AssumeGatherIndicesInBound",
)  # fmt: skip
SLICING = ("dynamic-slice", "slice", "gather", "slice-start", "dynamic-slice-start")
WITH_OPERANDS = (  # what starts them has the shape (operands, results, ...)
    "all-gather-start", "collective-permute-start", "reduce-scatter-start", "all-to-all-start",
    "collective-broadcast-start", "ragged-all-to-all-start", "slice-start", "dynamic-slice-start",
)  # fmt: skip
WAITS = "AsyncCollectiveDone"  # in a fusion of a TPU that ends what another one has started


@dataclasses.dataclass
class Work:
    """What one run of a program does.

    Attributes:
      kernels: how many of each kind: COMPUTING (written by XLA), MOVING (copies, transposes, slices
        and the like alone), LIBRARY (calls of cuBLAS, cuDNN, ...: at least a kernel each) and
        COLLECTIVE.
      moved: bytes read and written in main memory.
      collectives: how many of each.
      payload: bytes that collectives combine, by kind: of each the larger of its operands and its
        results.
      loops: how many there are, without those inside another one.
      unknown: how many loops, at any depth, have no known length and are counted as run once.
    """

    kernels: Counter[str] = dataclasses.field(default_factory=Counter)
    moved: int = 0
    collectives: Counter[str] = dataclasses.field(default_factory=Counter)
    payload: Counter[str] = dataclasses.field(default_factory=Counter)
    loops: int = 0
    unknown: int = 0

    def add(self, other: "Work", times: int = 1) -> None:
        """Adds other work, done so many times."""
        for name in ("kernels", "collectives", "payload"):
            counter = getattr(self, name)
            for key, number in getattr(other, name).items():
                counter[key] += times * number
        self.moved += times * other.moved
        self.unknown += other.unknown

    @property
    def launches(self) -> int:
        """All kernels."""
        return self.kernels.total()


class Reader:
    """Counts the work of a program's computations.

    Args:
      program: of `vdp.accelerators.hlo.parse`.
      near: whether memory spaces other than 0 are on the chip, as a TPU's, and cost nothing.
    """

    def __init__(self, program: Program, *, near: bool):
        self.program = program
        self.near = near

    def work(self, name: str | None = None) -> Work:
        """The work of one run of the computation `name`, or of the whole program."""
        computation, total = self.program.computations[name or self.program.entry], Work()
        begun: set[str] = set()
        for instruction in computation.values():
            self._add(total, instruction, computation, begun)
        return total

    def _add(
        self, total: Work, instruction: Instruction, computation: Computation, begun: set[str]
    ) -> None:
        """Adds one instruction; `begun` are the channels of collectives that were counted."""
        opcode, called = instruction.opcode, instruction.called
        if opcode == "while":
            trips = self.program.trips(instruction)
            total.add(self.work(called["body"]), 1 if trips is None else trips)
            total.loops += 1
            total.unknown += trips is None
        elif opcode == "conditional":
            most = max(map(self.work, instruction.branches), key=lambda work: work.launches)
            total.add(most)
            total.loops += most.loops
        elif opcode in ("call", "async-start"):
            names = [name for role, name in called.items() if role in ("calls", "to_apply")]
            for inner in names or instruction.branches:
                work = self.work(inner)
                total.add(work)
                total.loops += work.loops
        elif kind := self.kind(instruction, begun):
            total.kernels[kind] += 1
            total.moved += self._moved(instruction, computation)
            for each, around in self._collectives(instruction, computation):
                if each.channel in begun:
                    continue
                begun |= {each.channel} - {""}
                name = _what(each, around if opcode == "fusion" else {})
                total.collectives[name] += 1
                both = (self._read(each, around), _results(each))
                total.payload[name] += max(sum(a.nbytes for a in arrays) for arrays in both)

    def _collectives(
        self, instruction: Instruction, computation: Computation
    ) -> list[tuple[Instruction, Computation]]:
        """The instruction itself, or those in a fusion, as a TPU has them; with what is around."""
        if instruction.opcode != "fusion":
            return [(instruction, computation)] if _is_collective(instruction) else []
        inside = self.program.computations[instruction.called["calls"]]
        return [(each, inside) for each in inside.values() if _is_collective(each)]

    def kind(self, instruction: Instruction, begun: Collection[str] = ()) -> str | None:
        """The kind of kernel an instruction is; None where it is none.

        A TPU splits a collective into fusions that each hold a copy of it: one that starts it, some
        that compute meanwhile, and one that waits for its end.

        Args:
          instruction: of a computation.
          begun: channels of collectives that were started before.
        """
        opcode = instruction.opcode
        if opcode in FREE or opcode.endswith(("-done", "-update")):
            return None
        collectives = [each for each, _ in self._collectives(instruction, {})]
        if any(each.channel not in begun for each in collectives):
            return COLLECTIVE
        if opcode == "custom-call":
            return None if instruction.target in NAMING else LIBRARY
        if opcode == "fusion":
            inside = list(self.program.computations[instruction.called["calls"]].values())
            if collectives and any(inner.target == WAITS for inner in inside):
                return None
            inside = [inner for inner in inside if not _is_collective(inner)]
            moves = all(inner.opcode in FREE | RESHAPING for inner in inside)
            return MOVING if moves else COMPUTING
        return MOVING if opcode in RESHAPING else COMPUTING

    def _read(self, instruction: Instruction, computation: Computation) -> list[Array]:
        return [
            array
            for name in instruction.operands
            if name in computation
            for array in computation[name].arrays
        ]

    def _far(self, arrays: tuple[Array, ...] | list[Array]) -> int:
        """Bytes of those arrays that lie in main memory."""
        return sum(array.nbytes for array in arrays if not (self.near and array.space))

    def _moved(self, instruction: Instruction, computation: Computation) -> int:
        opcode, arrays = instruction.opcode, _results(instruction)
        if opcode == "fusion":
            return self._by_fusion(instruction, computation)
        if opcode in SLICING:
            return 2 * self._far(arrays)
        if opcode == "dynamic-update-slice":
            return 2 * self._far(computation[instruction.operands[1]].arrays)
        return self._far(self._read(instruction, computation)) + self._far(arrays)

    def _by_fusion(self, fusion: Instruction, computation: Computation) -> int:
        inside = self.program.computations[fusion.called["calls"]]
        users: dict[str, list[Instruction]] = {}
        for inner in inside.values():
            for name in inner.operands:
                users.setdefault(name, []).append(inner)
        moved = 0
        for inner in inside.values():
            if inner.opcode != "parameter":
                continue
            given = computation[fusion.operands[int(inner.arguments)]].arrays
            whole = self._far(given)
            parts = [self._part(user, name) for user, name in _uses(inner.name, users)]
            known = [part for part in parts if part is not None]
            sliced = bool(parts) and len(known) == len(parts)
            moved += min(sum(known), whole) if sliced else whole
        return moved + self._written(fusion, inside)

    def _part(self, user: Instruction, name: str) -> int | None:
        """Bytes that one user reads of an operand; None for all of it."""
        if user.opcode in SLICING and user.operands[0] == name:
            return sum(array.nbytes for array in user.arrays)
        if user.opcode == "dynamic-update-slice" and user.operands[0] == name:
            return 0  # updated in place: not read
        return None

    def _written(self, fusion: Instruction, inside: Computation) -> int:
        root = next(inner for inner in inside.values() if inner.root)
        results = [inside[n] for n in root.operands] if root.opcode == "tuple" else [root]
        written = 0
        for result, array in zip(results, fusion.arrays, strict=False):
            while result.opcode in ("bitcast", "copy") and result.operands:
                result = inside[result.operands[0]]
            updates = result.opcode == "dynamic-update-slice"
            size = sum(a.nbytes for a in inside[result.operands[1]].arrays) if updates else None
            far = self._far([array])
            written += far if size is None else min(size, far)
        return written


def _is_collective(instruction: Instruction) -> bool:
    return instruction.opcode.removesuffix("-start") in COLLECTIVES


def _what(collective: Instruction, around: Computation) -> str:
    """Its name; a sum of which the fusion around keeps a part is scattered, as a TPU writes it."""
    name = collective.opcode.removesuffix("-start")
    users = [each for each in around.values() if collective.name in each.operands]
    kept = bool(users) and all(user.opcode in ("slice", "dynamic-slice") for user in users)
    return "reduce-scatter" if name == "all-reduce" and kept else name


def _results(instruction: Instruction) -> tuple[Array, ...]:
    """The arrays that an instruction computes; its shape may list operands and buffers too."""
    opcode, arrays, given = instruction.opcode, instruction.arrays, len(instruction.operands)
    if opcode == "copy-start":  # (copy, original, context)
        return arrays[:1]
    if opcode in WITH_OPERANDS:  # a slice may have where it begins for operands too
        return arrays[given : given + 1] if opcode in SLICING else arrays[given : 2 * given]
    if opcode == "custom-call" and len(arrays) > 1 and arrays[-1].dtype in ("s8", "u8"):
        return arrays[:-1]  # the last is room to work in
    return arrays


def _uses(name: str, users: dict[str, list[Instruction]]) -> list[tuple[Instruction, str]]:
    """(instruction, the name by which it knows the value) of all uses, through bitcasts."""
    found = []
    for user in users.get(name, []):
        found += _uses(user.name, users) if user.opcode == "bitcast" else [(user, name)]
    return found
