"""Where the result of an evaluation goes: no question's answer is overwritten by another's."""

import json
import math
from collections.abc import Mapping
from typing import Any

from vdp.record import RESULT
from vdp.settings import Settings, compare
from vdp.settings.parse import to_json

# fields of `eval` that decide a result
DECISIVE = (
    "seed", "reverse", "num_steps", "refine_steps", "refine_rate", "fid_features", "fid_reference",
    "fid_samples",
)  # fmt: skip


def changed(trained: Settings, chosen: Settings) -> dict[str, tuple[Any, Any]]:
    """What decides the numbers, but checkpoint and split: {field: (the run's value, now)}."""
    changes = compare.changed(trained, chosen, only=("data", "model", "eval"))
    changes.pop("eval.checkpoint", None)
    changes.pop("eval.split", None)
    samplers = trained.sample.options(), chosen.sample.options()
    return changes if samplers[0] == samplers[1] else changes | {"sample": samplers}


def question(chosen: Settings) -> dict[str, Any]:
    """What an evaluation was asked, as its result keeps it: the fields that decide its numbers."""
    asked = to_json(chosen)["eval"]
    for field in ("every", "every_epochs", "checkpoint", "split"):
        del asked[field]
    return asked | {"sample": chosen.sample.options()}


def is_of(result: Mapping[str, Any], step: int, weights: str, components: str) -> bool:
    """Whether a result is of these parameters, and of components of one's own as they are.

    A step may be trained again, with other bits; results of version 0.1 know their step alone.

    Args:
      result: of an evaluation.
      step: of the checkpoint.
      weights: of its parameters, `vdp.training.fingerprint.digest`.
      components: of the files they are used by, `vdp.runtime.sources.in_use`.
    """
    now = {"step": step, "weights": weights, "components": components}
    same = all(result.get(name, value) == value for name, value in now.items())
    return same and not result.get("edited_sources")


def answered(result: Mapping[str, Any], chosen: Settings) -> bool:
    """Whether a result of the same checkpoint and images holds all that is asked for.

    Args:
      result: of an evaluation; of a version that did not keep its question it is taken to.
      chosen: the settings of a new one.
    """
    before, now = result.get("question"), json.loads(json.dumps(question(chosen)))
    if before is None:
        return True
    sets = ("estimators", "convergence", "ood")
    missing = any(set(now[name]) - set(before.get(name, ())) for name in sets)
    fewer = before["iwae_samples"] < now["iwae_samples"]
    most = [asked["max_examples"] or math.inf for asked in (before, now)]
    other = any(before.get(name, now[name]) != now[name] for name in ("sample", *DECISIVE))
    probed = before["probe"] or not now["probe"]
    return not (missing or fewer or other) and most[0] >= most[1] and probed


def decides(field: str) -> bool:
    """Whether a field, of `changed`, makes numbers others; else it only asks for more of them."""
    return not field.startswith("eval.") or field.removeprefix("eval.") in DECISIVE


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
    decisive = any(map(decides, changes))
    other = f"-{compare.other_name(changes)}" if fewer or missing or decisive else ""
    name = f"eval-{now.checkpoint}-{now.split}{other}.json"
    return RESULT if name == "eval-best-test.json" else name
