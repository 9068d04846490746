"""Lengths that are given in epochs, and the steps that they come to for a number of images.

An epoch is one look at every training image. A field in epochs that is above 0 decides the field in
steps that it stands beside; both are recorded, so that a run of a config and its config.json mean
the same. Of the two the one that is set later wins: `unset` is what setting the other does.
"""

from collections.abc import Sequence

from vdp.errors import UserError
from vdp.settings.sections import Settings

TOO_MANY = 2.0**63  # as a number of steps: no field takes it
FIELDS = {  # in epochs: in steps
    "train.epochs": "train.steps",
    "train.kl_warmup_epochs": "model.kl_warmup_steps",
    "optim.warmup_epochs": "optim.warmup_steps",
    "eval.every_epochs": "eval.every",
}


def resolve(settings: Settings, images: int) -> Settings:
    """The settings with every length in steps that is given in epochs; themselves where none is.

    Args:
      settings: of a config, or of a run: they stay as they are.
      images: number of training images, validation left out.

    Raises:
      UserError: a KL warm-up of a model that has none, or a length that comes to too many steps.
    """
    changed: dict[str, dict] = {}
    for field, in_steps in FIELDS.items():
        section, name = field.split(".")
        epochs = getattr(getattr(settings, section), name)
        if not epochs:
            continue
        target, leaf = in_steps.split(".")
        if target == "model" and leaf not in settings.model:
            raise UserError(
                f"config.{field} is of models with a KL warm-up, and this one has no {leaf}: set "
                "it to 0"
            )
        exact = min(epochs * images / settings.train.batch_size, TOO_MANY)
        steps = max(round(exact), 1)
        changed.setdefault(target, {})[leaf] = steps
    if "model" in changed:
        changed["model"] = {**settings.model, **changed["model"]}
    return settings.replace(**changed) if changed else settings


def in_proportion(overrides: Sequence[tuple[str, str]], before: float, now: float) -> list[str]:
    """The lengths in epochs that follow train.epochs where it alone is changed.

    Args:
      overrides: [(field, text)].
      before: train.epochs of the config.
      now: the same with the overrides.
    """
    given = {field for field, _ in overrides}
    if "train.epochs" not in given or not min(before, now) > 0:
        return []
    others = [field for field in FIELDS if field != "train.epochs"]
    return [field for field in others if not given & {field, FIELDS[field]}]


def in_proportion_note(field: str) -> str:
    """What `notes` of settings say of a length that has followed train.epochs."""
    return f"{field}: in proportion to train.epochs"


def beside(field: str) -> str | None:
    """The field in steps that one in epochs decides, or the other way round; None of others."""
    return (FIELDS | {in_steps: in_epochs for in_epochs, in_steps in FIELDS.items()}).get(field)


def unset(field: str) -> str | None:
    """The field in epochs that setting `field`, one in steps, puts back to 0; None of others."""
    return {in_steps: in_epochs for in_epochs, in_steps in FIELDS.items()}.get(field)
