"""What a person who trains is told of the settings: a config's notes, and what lengths mean."""

from collections.abc import Callable, Mapping
from typing import Any

from vdp.settings.compare import flatten
from vdp.settings.parse import to_json
from vdp.settings.sections import Optim, Settings, Train


def in_words(settings: Settings) -> list[str]:
    """One line for every note on a field there is, with the field's value."""
    values = flatten(to_json(settings))
    lines = []
    for note in settings.notes:
        field, _, why = note.partition(": ")
        if field in values:
            lines.append(f"{field}={values[field]}: {why}")
    return lines


def of_warmups(settings: Settings) -> list[str]:
    """Lines for a warm-up of most of the training, as shortened runs have them."""
    steps, warmup, rise = settings.train.steps, settings.kl_warmup, settings.optim.warmup_steps
    lines = []
    if 10 * warmup >= 9 * steps:
        lines.append(
            f"the KL warm-up takes {warmup:,} steps (model.kl_warmup_steps), the training {steps:,}"
            f": at its end the rate has {min(steps / max(warmup, 1), 1):.2g} of its weight in the "
            "loss, and has had it for "
            f"{max(steps - warmup, 0):,} steps, but all of it in every bound that is reported"
        )
    if 2 * rise >= steps:
        lines.append(
            f"the learning rate rises for {rise:,} steps (optim.warmup_steps), the training has "
            f"{steps:,}: its highest is {min(steps / max(rise, 1), 1):.2g} of optim.learning_rate"
        )
    return lines


def of_what_does_nothing(settings: Settings, validation_images: int) -> list[str]:
    """Lines for fields that are set and change nothing."""
    train, evaluation, optim = settings.train, settings.eval, settings.optim
    lines = []
    if train.patience and not validation_images:
        lines.append(
            f"train.patience={train.patience} does nothing: there are no validation images "
            "(data.num_validation)"
        )
    data = settings.data
    if data.encoder_input == "grey" and data.binarization == "none":
        lines.append("data.encoder_input=grey does nothing without data.binarization")
    if not train.init_from and train.init_parts != Train().init_parts:
        lines.append(f"train.init_parts={train.init_parts} does nothing without train.init_from")
    model = settings.model
    spec = model.get("likelihood") if model.get("name") == "pixel" else None
    lines += [
        f"model.likelihood.{field} does nothing in pixel space, where the scale is the noise of "
        "the diffusion's cleanest step"
        for field in ("scale", "initial_log_scale")
        if isinstance(spec, Mapping) and field in spec
    ]
    schedule, default = optim.schedule, Optim()
    if schedule == "constant" and optim.final_learning_rate != default.final_learning_rate:
        lines.append(
            f"optim.final_learning_rate={optim.final_learning_rate:g} does nothing where "
            "optim.schedule=constant"
        )
    if schedule != "wsd" and optim.decay_steps:
        lines.append(
            f"optim.decay_steps={optim.decay_steps:,} is of optim.schedule=wsd, and does nothing "
            f"under {schedule}"
        )
    if optim.warmup_stairs and not optim.warmup_steps:
        lines.append(
            f"optim.warmup_stairs={optim.warmup_stairs} does nothing without optim.warmup_steps"
        )
    if (evaluation.split, evaluation.checkpoint) != ("test", "best"):
        lines.append(
            "eval.split and eval.checkpoint are of --mode=eval: a training evaluates its best "
            "checkpoint on the test split"
        )
    return lines


def of_validations(settings: Settings, chain: str) -> list[str]:
    """A line for validations that are of another model than the bound of the evaluation.

    Args:
      settings: of the run.
      chain: that a validation's bound is of, as "T=100", where it can be fitted; "": there is none.
    """
    reverse, steps = settings.eval.reverse, settings.eval.num_steps
    if not chain or reverse == "fixed":
        return []
    fitted = f"T={steps}" if steps else chain
    return [
        f"validations, and with them the best checkpoint, are of the chain with its own variances "
        f"({chain}); the evaluation is of one whose variances are fitted to training images "
        f"({fitted}, {reverse})"
    ]


def of_batch(settings: Settings, images: int) -> list[str]:
    """A line for a batch that is larger than all the training images."""
    size = settings.train.batch_size
    if size <= images:
        return []
    return [
        f"train.batch_size={size:,} is more than the {images:,} training images, so that a step "
        f"sees each of them {size / images:.1f} times"
    ]


def of_early_end(settings: Settings, done: int, rate: Callable[[int], Any]) -> str:
    """A line for a training that ended before its schedule did, else "".

    Args:
      settings: of the run.
      done: its last step.
      rate: the learning rate of a step.
    """
    optim, steps = settings.optim, settings.train.steps
    if done >= steps or optim.schedule == "constant" or not optim.learning_rate:
        return ""
    if done < optim.warmup_steps:
        return (
            f"ended after {done:,} of train.steps={steps:,}, while the learning rate still rises "
            f"(optim.warmup_steps={optim.warmup_steps:,})"
        )
    return (
        f"ended after {done:,} of train.steps={steps:,}, where optim.schedule={optim.schedule} is "
        f"still at {float(rate(done)) / optim.learning_rate:.2g} of optim.learning_rate: set "
        "train.steps to what there is time for, and the rate falls to its end"
    )
