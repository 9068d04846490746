"""What stands beside the estimates of arms: FID, seconds, parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vdp.comparison.runs import Arm
from vdp.comparison.statistics import Estimate, of_summaries
from vdp.evaluation import report

OF_FID = (  # what decides it
    "features", "num_samples", "reference", "num_reference", "sampler", "chain",
)  # fmt: skip

MEASURES: Mapping[str, Callable[[Any], float | None]] = {
    "FID": lambda run: (run.result.get("fid") or {}).get("value"),
    "training, s": lambda run: report.training_seconds(run.result),
    "sampling, s per 1,000 images": lambda run: report.sampling_seconds(run.result),
    "parameters": lambda run: run.record.parameters.get("total"),
}


def of(compared: Sequence[Arm]) -> dict[str, dict[str, Estimate]]:
    """What stands beside the estimates: means over seeds, with the error that seeds give them."""
    table: dict[str, dict[str, Estimate]] = {}
    for name, measure in MEASURES.items():
        for arm in compared:
            numbers = [number for run in arm.runs if (number := measure(run)) is not None]
            if len(numbers) == len(arm.runs):
                of_images = 0.0 if len(numbers) > 1 and name != "parameters" else None
                found = of_summaries(numbers, [of_images] * len(numbers))
                table.setdefault(name, {})[arm.label] = found
    return table


def different_fid(compared: Sequence[Arm]) -> str:
    """What makes the FID of these arms incomparable, in words; "" where nothing does."""
    every = [fid for arm in compared for run in arm.runs if (fid := run.result.get("fid"))]
    told = {name: {repr(fid[name]) for fid in every if name in fid} for name in OF_FID}
    return ", ".join(name for name, values in told.items() if len(values) > 1)
