"""Where the result of an evaluation goes: no question's answer is overwritten by another's."""

from typing import Any

from vdp.record import RESULT
from vdp.settings import Settings, compare

# fields of `eval` that decide a result
DECISIVE = ("seed", "reverse", "num_steps", "fid_features", "fid_reference", "fid_samples")


def changed(trained: Settings, chosen: Settings) -> dict[str, tuple[Any, Any]]:
    """What decides the numbers, but checkpoint and split: {field: (the run's value, now)}."""
    changes = compare.changed(trained, chosen, only=("data", "model", "eval"))
    changes.pop("eval.checkpoint", None)
    changes.pop("eval.split", None)
    samplers = trained.sample.options(), chosen.sample.options()
    return changes if samplers[0] == samplers[1] else changes | {"sample": samplers}


def file_name(trained: Settings, chosen: Settings) -> str:
    """The name of the result of an evaluation.

    eval.json for the best checkpoint on the test split, else eval-<checkpoint>-<split>.json; with
    "-other-<hash of the settings>" where data, number of examples or estimators are less than or
    different from the run's own, or its seed, sampler or FID settings are others.

    Args:
      trained: the settings the run was trained with.
      chosen: those of the evaluation.
    """
    before, now, changes = trained.eval, chosen.eval, changed(trained, chosen)
    fewer = now.max_examples not in (0, before.max_examples)
    fewer = fewer or now.iwae_samples < before.iwae_samples
    missing = set(before.estimators) - set(now.estimators)
    decisive = {
        field
        for field in changes
        if not field.startswith("eval.") or field.removeprefix("eval.") in DECISIVE
    }
    other = f"-{compare.other_name(changes)}" if fewer or missing or decisive else ""
    name = f"eval-{now.checkpoint}-{now.split}{other}.json"
    return RESULT if name == "eval-best-test.json" else name
