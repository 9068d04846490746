"""What stands beside the estimates of arms: FID, seconds, parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vdp.comparison.runs import Arm
from vdp.comparison.statistics import Estimate

OF_FID = ("features", "num_samples", "reference", "num_reference")  # what decides its value


def _sampling(result: Mapping[str, Any]) -> float | None:
    sampling = result.get("sampling") or {}
    seconds, num = sampling.get("seconds"), sampling.get("num")
    return 1000 * seconds / num if seconds is not None and num else None


MEASURES: Mapping[str, Callable[[Any], float | None]] = {
    "FID": lambda run: (run.result.get("fid") or {}).get("value"),
    "training, s": lambda run: run.result.get("train_seconds"),
    "sampling, s per 1,000 images": lambda run: _sampling(run.result),
    "parameters": lambda run: run.record.parameters.get("total"),
}


def of(compared: Sequence[Arm]) -> dict[str, dict[str, Estimate]]:
    """What stands beside the estimates: means over seeds, with the error that seeds give them."""
    table: dict[str, dict[str, Estimate]] = {}
    for name, measure in MEASURES.items():
        for arm in compared:
            numbers = [number for run in arm.runs if (number := measure(run)) is not None]
            if len(numbers) == len(arm.runs):
                several = len(numbers) > 1 and name != "parameters"
                error = np.std(numbers, ddof=1) / np.sqrt(len(numbers)) if several else None
                table.setdefault(name, {})[arm.label] = Estimate(
                    mean=float(np.mean(numbers)),
                    over_images=0.0 if several else None,
                    over_seeds=None if error is None else float(error),
                    freedom=max(len(numbers) - 1, 1),
                )
    return table


def different_fid(compared: Sequence[Arm]) -> str:
    """What makes the FID of these arms incomparable, in words; "" where nothing does."""
    every = [fid for arm in compared for run in arm.runs if (fid := run.result.get("fid"))]
    return ", ".join(name for name in OF_FID if len({repr(fid.get(name)) for fid in every}) > 1)
