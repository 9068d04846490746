"""Which settings may differ when a run is continued, evaluated or drawn from, and by what name."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from vdp.errors import UserError
from vdp.settings import epochs
from vdp.settings.parse import to_json
from vdp.settings.sections import Data, Settings

Changes = Mapping[str, tuple[Any, Any]]  # {field: (before, after)}
PLACES = ("dir", "download", "verify", "placement")  # of `data`: no image depends on them
DRAWN = ("binarization", "binarization_seed", "encoder_input", "augmentation")  # made of images
SPLITTING = ("split_seed", "num_validation")  # of `data`: another value moves images to test
EPOCHS = {  # lengths in epochs, and the steps that are compared in their place
    each: steps for each, steps in epochs.FIELDS.items() if not each.startswith("eval.")
}
WHERE = (  # of `train`: what lies where, when it is computed, and how it was compiled
    "fsdp", "microbatches", "steps_per_dispatch", "quick_compile",
)  # fmt: skip
OF_TRAIN = tuple(f"train.{field}" for field in WHERE)
NO_TRAINING = (  # sections that no training depends on
    "eval", "sample", "codec", "log", "checkpoint", "notes", "describe",
)  # fmt: skip
ADDED = {  # what a field meant before there was one
    "model.free_bits": 0.0,
    "model.log_var_u": [-12.0, -5.0],
    "model.decoder.output": "tanh",
    "model.prior.reverse": "fixed",
    "model.prior.teacher_steps": 0,
    "model.prior.train_times": 1,
    "model.prior.net.bounds": "wide",
}
ESTIMATED = (  # fields of `model` that say how it is estimated, not what it is
    "dequantization", "prior.num_times", "prior.num_strata", "prior.sequential", "prior.ode_steps",
    "prior.ode_probes",
)  # fmt: skip
FREE_ON_RESUME = (
    *(f"data.{place}" for place in PLACES), *OF_TRAIN, "train.patience", *NO_TRAINING, *EPOCHS,
)  # fmt: skip
FREE_ON_EVALUATION = (
    "data", "train.steps", "train.seconds", "train.patience", *OF_TRAIN, *NO_TRAINING,
    *EPOCHS, *(f"model.{field}" for field in ESTIMATED),
)  # fmt: skip


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"data.name": ...} of nested dicts."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(
    stored: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    free: Sequence[str] = (),
    only: Sequence[str] = (),
) -> dict[str, tuple[Any, Any]]:
    """{field: (before, after)} of two nested mappings, sorted by field.

    Args:
      stored: before.
      current: after.
      free: fields, or beginnings of them, that are left out.
      only: where it is given, the only ones that are not.
    """
    old, new = flatten(stored), flatten(current)
    under = lambda field, names: any(field == n or field.startswith(f"{n}.") for n in names)
    values = {field: (_meant(old, field), _meant(new, field)) for field in {*old, *new}}
    return {
        field: (before, after)
        for field, (before, after) in sorted(values.items())
        if before != after and not under(field, free) and (not only or under(field, only))
    }


def _meant(flat: Mapping[str, Any], field: str) -> Any:
    """The value of a field, or what goes without saying where it is left out."""
    section = "optim.groups."
    if field in flat or not field.startswith(section):
        return flat.get(field, ADDED.get(field))
    around = [name for name in flat if name.startswith(section) and field.startswith(f"{name}/")]
    return flat[max(around, key=len)] if around else 1.0


def of_kinds(changes: Changes) -> Changes:
    """The changes of a model without the fields of components that are of another kind."""
    kinds = [f.removesuffix("name") for f in changes if f"{f}.".endswith("name.")]
    kinds = [kind for kind in kinds if kind.startswith("model.")]
    return {
        field: values
        for field, values in changes.items()
        if not any(field.startswith(kind) and field != f"{kind}name" for kind in kinds)
    }


def changed(stored: Settings, current: Settings, *, only: Sequence[str]) -> dict[str, tuple]:
    """`differences` of two settings in the sections `only`, wherever the data lies."""
    before, after = to_json(stored), to_json(current)
    free = [f"data.{field}" for field in PLACES] + _resolved(before, after)
    return differences(before, after, only=only, free=free)


def same_images(stored: Data, current: Data) -> bool:
    """Whether two settings of `data` mean the same images, before any are drawn from them."""
    by_file = lambda data: dataclasses.asdict(data) | {"name": _file(data.name)}
    return not differences(by_file(stored), by_file(current), free=(*PLACES, *DRAWN))


def split_otherwise(stored: Data, current: Data) -> Changes:
    """The fields by which images of one name or file are divided into splits in another way."""
    before, after = dataclasses.asdict(stored), dataclasses.asdict(current)
    same = _file(stored.name) == _file(current.name)
    return differences(before, after, only=SPLITTING) if same else {}


def _file(name: str | None) -> str:
    """The name of data; where it holds the path of something, absolute and without links."""
    kind, colon, path = (name or "").partition(":")
    return kind + colon + (os.path.realpath(path) if os.path.exists(path) else path)


def other_name(changes: Changes) -> str:
    """The name other-1a2b3c for changed settings: one name for one set of them."""
    text = json.dumps({field: after for field, (_, after) in changes.items()}, sort_keys=True)
    return f"other-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def check_resumable(stored: Settings, current: Settings, *, run: str = "RUN") -> None:
    """Refuses to continue a run as another one.

    Args:
      stored: the settings the run was trained with.
      current: those of this command.
      run: its workdir, for the message.

    Raises:
      UserError: fields differ that may not; `train.steps` and `train.seconds` (0 is no limit) may
        grow, and FREE_ON_RESUME may change.
    """
    before, after = to_json(stored), to_json(current)
    changes = differences(before, after, free=[*FREE_ON_RESUME, *_resolved(before, after)])
    for field in ("train.steps", "train.seconds"):
        before, after = changes.get(field, (0, -1))
        if after >= before > 0 or after == 0:
            changes.pop(field, None)
    _refuse(
        changes,
        f", where config.train.init_from={run} with config.train.init_parts=all goes on from it "
        "with other settings (docs/going_on.md)",
    )


def chosen_otherwise(stored: Settings, current: Settings) -> list[str]:
    """Fields that no run may change, and that its config has chosen both times, for its images.

    Args:
      stored: the settings the run was trained with.
      current: those of this command; the `notes` of both name what was chosen.
    """
    noted = [{note.partition(":")[0] for note in s.notes} for s in (stored, current)]
    changes = differences(to_json(stored), to_json(current), free=FREE_ON_RESUME)
    return sorted(changes.keys() & noted[0] & noted[1])


def with_warmups_of(stored: Settings, current: Settings) -> Settings:
    """The settings a run goes on with: its warm-ups stay where they would follow train.epochs.

    Args:
      stored: the settings the run was trained with.
      current: those of this command, of which `notes` say what has followed.
    """
    old, changes = to_json(stored), dict[str, dict[str, Any]]()
    for in_epochs, in_steps in EPOCHS.items():
        if epochs.in_proportion_note(in_epochs) in current.notes:
            for section, leaf in (in_epochs.split("."), in_steps.split(".")):
                changes.setdefault(section, {})[leaf] = old[section].get(leaf, 0)
    if "model" in changes:
        changes["model"] = {**current.model, **changes["model"]}
    return current.replace(**changes) if changes else current


def check_same_run(stored: Settings, current: Settings) -> None:
    """Refuses to evaluate a run as another model, or on a test split that was trained on.

    Of other data fewer images may be held out for validation, which moves none to its test split.

    Raises:
      UserError: fields outside FREE_ON_EVALUATION differ.
    """
    before, after = to_json(stored), to_json(current)
    changes = differences(before, after, free=(*FREE_ON_EVALUATION, *_resolved(before, after)))
    changes |= differences(before["data"], after["data"], only=["split_seed"])
    _refuse({**changes, **split_otherwise(stored.data, current.data)})


def _resolved(stored: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Fields that a run keeps with what training has made of them, where that is of one command.

    Lengths in epochs are kept as steps, of a run that went on for more epochs those it began with,
    and after train.init_parts=all there is no KL warm-up.
    """
    old, new = flatten(stored), flatten(current)
    same = lambda field: old.get(field) == new.get(field)
    follows = lambda field: epochs.in_proportion_note(field) in (new.get("notes") or ())
    fields = [
        steps for each, steps in EPOCHS.items() if old.get(each) and (same(each) or follows(each))
    ]
    goes_on = old.get("train.init_from") and old.get("train.init_parts") == "all"
    if goes_on and same("train.init_from") and same("train.init_parts"):
        fields.append("model.kl_warmup_steps")
    return fields


def _refuse(changes: Changes, otherwise: str = "") -> None:
    if changes:
        changes = of_kinds(changes)
        listed = "; ".join(f"{k} (was {old!r}, now {new!r})" for k, (old, new) in changes.items())
        raise UserError(
            f"this workdir holds a run with another config: {listed}; use the same values, or "
            f"another workdir{otherwise}"
        )
