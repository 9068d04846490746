"""What `--mode=describe` says of chips that a config's programs were compiled for."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from vdp.accelerators import compiling, estimate
from vdp.accelerators.chips import CHIPS, GPU, Chip
from vdp.accelerators.compiling import Chips, TooLarge
from vdp.accelerators.largest import largest
from vdp.accelerators.targets import Target
from vdp.data import datasets
from vdp.errors import UserError
from vdp.runtime.progress import duration, in_bytes
from vdp.settings import Settings, epochs

TRAIN_LESS = (
    "raise config.train.microbatches, keep images off it by config.data.placement=host, lower "
    "config.train.batch_size, or ask for the largest by config.describe.fit=True"
)
NAMES = {"train": "a training step", "eval": "a batch of a validation", "sample": "a batch drawn"}


def describe(
    settings: Settings,
    facts: datasets.Facts | None = None,
    chips: Chips | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Compiles the programs of `settings.describe` for chips and reads them.

    Args:
      settings: of a config, or of a run.
      facts: of its data; None looks at it.
      chips: None takes those of `settings.describe.target`.
      say: called with a line before each compilation, which takes minutes.

    Returns:
      {"target", "chip", "devices", "fsdp", "room_bytes": what programs can have of a device,
      "programs": {name: of `vdp.accelerators.estimate.of_program`}, "hours" and "device_hours": the
      least for all of train.steps, where training is among them, "largest": {"batch_size",
      "memory", "refused", "tried"} where describe.fit asks for it}

    Raises:
      UserError: as of `vdp.accelerators.compiling.chips`, a batch does not fall evenly on the
        devices, or the compiler refuses a program for want of memory.
    """
    on = chips or compiling.chips(settings.describe.target)
    of = facts or datasets.describe(settings.data)
    counts = datasets.split_counts(of, settings.data)
    settings = epochs.resolve(settings, counts.get("train", 0))
    target, chip = on.target, on.target.chip

    def read(name: str, settings: Settings) -> dict[str, Any]:
        return estimate.of_program(name, settings, of, on)

    programs: dict[str, Any] = {}
    known: dict[int, tuple[float | None, bool]] = {}
    for name in settings.describe.programs:
        say(f"compiling {NAMES[name]} for {in_words(target)}")
        try:
            programs[name] = read(name, settings)
        except TooLarge as error:
            needed = "as its compiler says"
            if error.size:
                needed = f"it needs at least {in_bytes(error.size)}"
            known[settings.train.batch_size] = error.size, False
            if not (settings.describe.fit and name == "train"):
                raise UserError(
                    f"{NAMES[name]} does not fit into the memory of {chip.name} ({needed}): "
                    + (TRAIN_LESS if name == "train" else "lower config.eval.batch_size")
                ) from error
    result: dict[str, Any] = {
        "target": target.text,
        "chip": chip.name,
        "devices": target.devices,
        "fsdp": settings.train.fsdp,
        "room_bytes": estimate.room(chip),
        "programs": programs,
    }
    if "train" in programs:
        seconds = settings.train.steps * programs["train"]["floor_seconds"]["total"]
        hours = min(seconds, settings.train.seconds or math.inf) / 3600
        result |= {"hours": hours, "device_hours": hours * target.devices}
    if settings.describe.fit:
        if "train" in programs:
            known[settings.train.batch_size] = programs["train"]["memory"]["total"], True
        result["largest"] = _largest(settings, target, known, read, say)
    return result


def _largest(
    settings: Settings,
    target: Target,
    known: dict[int, tuple[float | None, bool]],
    read: Callable[[str, Settings], dict[str, Any]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    def memory(batch_size: int) -> tuple[float | None, bool]:
        if batch_size in known:
            return known[batch_size]
        say(f"compiling {NAMES['train']} of {batch_size:,} images for {in_words(target)}")
        try:
            step = read("train", settings.replace(train=dict(batch_size=batch_size)))
        except TooLarge as error:
            return error.size, False
        return step["memory"]["total"], True

    found = largest(
        memory,
        start=settings.train.batch_size,
        step=target.devices * settings.train.microbatches,
        room=estimate.room(target.chip),
    )
    return {
        "batch_size": found.batch_size,
        "memory": found.memory,
        "refused": found.refused,
        "tried": {str(batch): size for batch, size in found.tried.items()},
    }


def in_words(target: Target) -> str:
    """The target as it is said to people."""
    return f"{target.devices} x {target.chip.name}"


def table(result: dict[str, Any]) -> str:
    """The result of `describe` for people: one line for each name, then what it assumes."""
    chip = CHIPS[result["target"].partition(":")[0]]
    rows = [("chips", f"{result['devices']} x {result['chip']}" + ", FSDP" * result["fsdp"])]
    for name, program in result["programs"].items():
        rows.append((NAMES[name], f"of {program['batch_size']:,} images, one device"))
        rows += [(f"  {label}", text) for label, text in _program(program, result)]
    if "hours" in result:
        rows.append(
            (
                "all steps",
                f"at least {duration(3600 * result['hours'])}, "
                f"{result['device_hours']:.3g} device-hours",
            )
        )
    if "largest" in result:
        rows.append(("largest batch", _fitting(result)))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:{width}}  {text}" for label, text in rows]
    return "\n".join([*lines, "", *assumptions(chip, result)])


def _program(program: dict[str, Any], result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    memory, kernels, floor = program["memory"], program["kernels"], program["floor_seconds"]
    named = [part for part in ("arguments", "temporaries", "outputs", "code") if memory[part]]
    parts = ", ".join(f"{in_bytes(memory[part])} {part}" for part in named)
    share = "" if program["fits"] else f": more than the {in_bytes(result['room_bytes'])} there are"
    yield (
        "memory",
        f"{in_bytes(memory['total'])} ({parts}, {in_bytes(memory['aliased'])} aliased){share}",
    )
    flops = sum(program["flops"].values())
    yield "arithmetic", f"{flops / 1e9:,.4g} GFLOP, {in_bytes(program['moved_bytes'])} moved"
    listed = ", ".join(f"{number:,.0f} {kind}" for kind, number in sorted(kernels.items()))
    yield "kernels", f"{sum(kernels.values()):,.0f} ({listed})"
    for name, each in sorted(program["collectives"].items()):
        yield name, f"{each['count']:,.4g}, {in_bytes(each['bytes'])} in all"
    bounds = {part: seconds for part, seconds in floor.items() if part != "total"}
    said = ", ".join(f"{part} {1e3 * seconds:.3g}" for part, seconds in bounds.items())
    yield "at least", f"{1e3 * floor['total']:.3g} ms ({said})"
    yield "compiled in", f"{program['compile_seconds']:.0f} s"
    if unknown := program["loops"]["of_unknown_length"]:
        yield "loops", f"{unknown} of unknown length, counted once"


def _fitting(result: dict[str, Any]) -> str:
    found = result["largest"]
    if not found["batch_size"]:
        return f"none fits: {min(map(int, found['tried'])):,} images are too many"
    above = f", {found['refused']:,} do not fit" if found["refused"] else ""
    return (
        f"{found['batch_size']:,} images, {in_bytes(found['memory'])} of "
        f"{in_bytes(result['room_bytes'])}{above} ({len(found['tried'])} compiled)"
    )


def assumptions(chip: Chip, result: dict[str, Any]) -> list[str]:
    """What the figures assume, one sentence a line."""
    lines = [
        "Memory, kernels and collectives are the compiled program's; seconds are a floor, of "
        f"{chip.source}: {chip.half / 1e12:g} TFLOP/s in bfloat16, {chip.single / 1e12:g} in "
        f"float32 at jax's default precision, {chip.bandwidth / 1e9:,.0f} GB/s of memory, "
        f"{chip.links / 1e9:,.0f} GB/s out to other chips.",
        "Arithmetic is that of products and convolutions, counted before compilation. Arithmetic, "
        "memory and links are taken to overlap wholly.",
    ]
    if chip.compiler == GPU:
        lines.append(
            f"A launch is assumed to take {1e6 * chip.launch:g} us, which CUDA graphs shorten; "
            "kernels were not tuned on a card, and a call of a library is one kernel at least; jax "
            f"leaves {chip.usable:.0%} of the memory to programs unless told otherwise. The "
            "compiler on a card took 1.3 to 2 times the memory for programs of large convolutions."
        )
    else:
        lines.append("A TPU starts its kernels itself: no time is counted for that.")
    if "hours" in result:
        lines.append(
            "Validations, checkpoints, pictures and waiting for data are not in the hours."
        )
    return lines
