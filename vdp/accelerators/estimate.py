"""From a compiled program to numbers: memory, work, and the least time a step can take."""

from typing import Any

from vdp.accelerators import compiling, hlo, kernels, programs
from vdp.accelerators.chips import TPU, Chip
from vdp.accelerators.compiling import Chips
from vdp.data import datasets
from vdp.settings import Settings

AROUND = {"all-reduce": 2.0, "collective-permute": None}  # rounds of a ring; else 1; None: no ring


def of_program(
    name: str,
    settings: Settings,
    facts: datasets.Facts,
    chips: Chips,
) -> dict[str, Any]:
    """Compiles one program of a run for a target and reads it.

    Args:
      name: "train", "eval" or "sample".
      settings: of the run, with lengths in steps.
      facts: of its data.
      chips: the target.

    Returns:
      {"batch_size", "steps_per_dispatch", "compile_seconds", "memory": bytes of a device by their
      use, "fits": whether the chip has them, and of one step on one device: "flops" by rate,
      "moved_bytes", "kernels" by kind, "collectives": {name: {"count", "bytes"}}, "floor_seconds":
      of `floor`; "loops" of the program and how many are of unknown length}

    Raises:
      UserError: as of `vdp.accelerators.programs.planned`.
      TooLarge: as of `vdp.accelerators.compiling.compiled`.
    """
    planned = programs.planned(name, settings, facts, chips)
    target = chips.target
    compiled = compiling.compiled(planned.traced, chips)
    near = target.chip.compiler == TPU
    work = kernels.Reader(hlo.parse(compiled.text), near=near).work()
    step = lambda number: number / planned.steps
    result = {
        "batch_size": planned.batch_size,
        "steps_per_dispatch": planned.steps,
        "compile_seconds": round(compiled.seconds, 1),
        "memory": compiled.memory,
        "fits": compiled.memory["total"] <= room(target.chip),
        "flops": dict(planned.flops),
        "moved_bytes": step(work.moved),
        "kernels": {kind: step(number) for kind, number in work.kernels.items()},
        "collectives": {
            kind: {"count": step(number), "bytes": step(work.payload[kind])}
            for kind, number in work.collectives.items()
        },
        "loops": {"outermost": work.loops, "of_unknown_length": work.unknown},
    }
    return result | {"floor_seconds": floor(result, target.chip, target.devices)}


def room(chip: Chip) -> float:
    """Bytes that programs can have of a chip's memory."""
    return chip.usable * chip.memory


def floor(step: dict[str, Any], chip: Chip, devices: int) -> dict[str, float]:
    """The least seconds of a step, by what bounds it, and in all.

    Args:
      step: with "flops", "moved_bytes", "kernels" and "collectives" of `of_program`.
      chip: each of the devices.
      devices: N; a ring sends 2 (N - 1)/N of what it adds up, (N - 1)/N of what it gathers.

    Returns:
      {"arithmetic", "memory", "links", "launches", "total"}: total is the largest of the first
      three, as if they overlapped wholly, plus the launches, as if nothing overlapped these.
    """
    sent = 0.0
    for name, collective in step["collectives"].items():
        rounds = AROUND.get(name, 1.0)
        sent += collective["bytes"] * (1 if rounds is None else rounds * (devices - 1) / devices)
    parts = {
        "arithmetic": sum(number / getattr(chip, rate) for rate, number in step["flops"].items()),
        "memory": step["moved_bytes"] / chip.bandwidth,
        "links": sent / chip.links,
        "launches": sum(step["kernels"].values()) * chip.launch,
    }
    largest = max(parts["arithmetic"], parts["memory"], parts["links"])
    return parts | {"total": largest + parts["launches"]}
