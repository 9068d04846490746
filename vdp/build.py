"""From a spec to an object: what a config names is made, and proven to fit its data.

A spec is a mapping with `name`. Mappings with a name inside it are built first, and the field
they stand under says the room they come from.
"""

import contextlib
import inspect
import json
import traceback
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from vdp import components
from vdp.checks import contracts, made
from vdp.data.datasets import Facts
from vdp.errors import UNEXPECTED, Fault, UserError, choose_from, first_line, shown
from vdp.settings import rules
from vdp.types import Adjustable, Generative, Model

_PROVEN: set[str] = set()  # models that fit their data, as text


def build(room: str, spec: Mapping[str, Any], *, path: str = "", **context: Any) -> Any:
    """Builds the component `spec` describes.

    Args:
      room: the field the spec stands under, e.g. "model".
      spec: {"name": ..., fields...}; nested specs are built depth-first.
      path: the config field of the spec, for messages; `config.ROOM` by default.
      context: facts of the data ("levels", "input_levels", "num_classes") given to every model,
        prior, likelihood and pseudo-input that has a field of that name and does not set it; a
        network's field of such a name is its own, as the levels of a UNet.

    Raises:
      UserError: an unknown name or field (the message lists what is accepted), a missing one, or a
        value that the component refuses.
      Fault: the component's own code fails.
    """
    path = path or f"config.{room}"
    if "name" not in spec:
        raise UserError(f"{path} has no name")
    maker = components.resolve(room, spec["name"])
    fields = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            if key not in components.ROOMS:
                raise choose_from("component field", key, components.ROOMS)
            value = build(key, value, path=f"{path}.{key}", **context)
        elif value is not None and key in components.ROOMS:
            raise UserError(f"{path}.{key} is a component with a name, not {shown(value)}")
        if key != "name":
            fields[key] = value
    what = f"{room} {spec['name']}"
    parameters = components.parameters(what, maker)
    unknown = [key for key in fields if key not in parameters]
    if unknown:
        raise _unknown(room, spec["name"], path, unknown, parameters)
    for key, value in fields.items():
        kind, default = parameters[key].annotation, parameters[key].default
        optional = default is None or type(None) in typing.get_args(kind)
        if value is None and not optional and key in components.ROOMS:
            raise UserError(f"{path}.{key} is a component with a name, not None")
        if rules.checkable(kind) and not (type(value) is type(default) and value == default):
            fields[key] = rules.checked(f"{path}.{key}", value, kind)
    if room in components.MODULE_ROOMS:
        fields |= {k: v for k, v in context.items() if k in parameters and k not in fields}
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and name not in fields
    ]
    if missing:
        raise UserError(f"{what} ({path}) needs the fields {', '.join(missing)}")
    try:
        component = maker(**fields)
        if "." in spec["name"]:
            made.check(room, component)
        return component
    except UserError as error:
        raise UserError(f"{what} ({path}): {error}") from error
    except UNEXPECTED as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"{what} ({path}) cannot be made: {reason}") from error


def _unknown(
    room: str, name: str, path: str, unknown: Sequence[str], parameters: Collection[str]
) -> UserError:
    """The error for fields that a component does not have; of another one they may have stayed."""
    said = choose_from(f"field of {room} {name}:", unknown[0], parameters)
    if len(unknown) == 1 and not components.is_of_another(room, unknown[0], name):
        return said
    if len(unknown) > 1:
        said = UserError(f"{room} {name} does not have the fields {', '.join(unknown)}")
    means = "a config of your own changes all of them"
    if room == "prior":
        means = "a config's argument changes all of them, as in digits_vae:prior=vamp"
    return UserError(
        f"{said}: those of another {room} stay where {path}.name= alone is changed; {means}"
    )


def assemble(spec: Mapping[str, Any], facts: Facts) -> Model:
    """Builds `config.model` for data of these facts; nothing of it is traced or computed.

    Raises:
      UserError, Fault: as of `build`.
    """
    context: dict[str, Any] = {
        "levels": facts.levels,
        "input_levels": facts.input_levels,
        "num_classes": facts.info.num_classes,
    }
    return build("model", spec, **context)


def model(spec: Mapping[str, Any], facts: Facts) -> Model:
    """Builds `config.model` for data of these facts, and proves that it fits their shape.

    Args:
      spec: of the model.
      facts: of the data.

    Raises:
      UserError: as of `build`, a component cannot take images of that shape and says so, or one
        from outside gives back another shape or type than it has to.
      Fault: a component's own code fails; the message names it.
    """
    built = assemble(spec, facts)
    proven = json.dumps([spec, str(facts)], sort_keys=True, default=repr)
    if proven in _PROVEN:
        return built
    try:
        contracts.check(built, spec, facts.shape)
    except UserError:
        raise
    except UNEXPECTED as error:  # flax and jax raise many kinds
        where = blame(error, spec)
        if where is None:  # it arose where one from outside is called, which may name it
            contracts.check_outside(built, spec, facts.shape)
            where = f"model {spec['name']} (config.model)"
        what = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"{where} fails for images of shape {facts.shape}: {what}") from error
    # what comes from outside may be another thing the next time
    if not any(part.outside for part in contracts.parts({"model": spec})):
        _PROVEN.add(proven)
    return built


def check_sampler(model: Model, options: Mapping[str, Any]) -> None:
    """Refuses options of `sample` that a model does not have, or that mean nothing.

    Args:
      model: any; some draw no samples.
      options: of `settings.Sample.options`, or of `Run.sample`.

    Raises:
      UserError: the option is named.
    """
    if isinstance(model, Adjustable):
        model.check_sampler(**options)
    elif options:
        how = "is sampled without options" if isinstance(model, Generative) else "draws no samples"
        raise UserError(f"this model {how}: leave out {', '.join(options)}")


def blame(error: BaseException, spec: Mapping[str, Any]) -> str | None:
    """The component in whose source file an error arose, as "prior mine.make (config.model.prior)".

    Args:
      error: caught, with its traceback; of several components the one called last is named.
      spec: of the model.

    Returns:
      None where no component of the user's own was running.
    """
    sources = dict(_sources("model", spec, "config.model"))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in sources:
            return sources[frame.filename]
    return None


def _sources(room: str, spec: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """(source file, description) of every component under `spec` from outside the package."""
    name = spec.get("name", "")
    if "." in name:
        with contextlib.suppress(Fault, TypeError, UserError):  # not importable, or without a file
            maker = inspect.unwrap(components.resolve(room, name))
            yield inspect.getfile(maker), f"{room} {name} ({path})"
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            yield from _sources(key, value, f"{path}.{key}")
