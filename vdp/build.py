"""From a spec to an object: the one place where a name becomes a module.

A spec is a mapping with `name`. Mappings with a name inside it are built first, and the field
they stand under says the room they come from.
"""

import contextlib
import importlib
import importlib.resources
import inspect
import json
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vdp.checks import contracts
from vdp.data.datasets import Facts
from vdp.errors import UNEXPECTED, Fault, UserError, choose_from, first_line, shown
from vdp.settings import rules
from vdp.types import Adjustable, Generative, Model

MODULE_ROOMS = {  # field -> package with one module per component, each with `make`
    "model": "vdp.models",
    "prior": "vdp.priors",
    "likelihood": "vdp.likelihoods",
    "pseudoinput": "vdp.pseudoinputs",
}
ATTRIBUTE_ROOMS = {  # field -> module with one attribute per component
    "net": "vdp.nets",
    "encoder": "vdp.nets",
    "decoder": "vdp.nets",
    "denoiser": "vdp.nets",
    "schedule": "vdp.diffusion.schedules",
}
CONTEXT = ("levels", "input_levels", "num_classes")  # facts of the data, given to who asks for them
_PROVEN: set[str] = set()  # models that fit their data, as text


def _accepted(room: str) -> list[str]:
    if room in ATTRIBUTE_ROOMS:
        module = importlib.import_module(ATTRIBUTE_ROOMS[room])
        if hasattr(module, "ROLES"):
            return list(module.ROLES[room])
        functions = inspect.getmembers(module, inspect.isfunction)
        return [
            n for n, f in functions if not n.startswith("_") and f.__module__ == module.__name__
        ]
    package = importlib.import_module(MODULE_ROOMS[room])
    folder = importlib.resources.files(package)
    names = [entry.name.removesuffix(".py") for entry in folder.iterdir()]
    candidates = [n for n in names if n.isidentifier() and not n.startswith("_")]
    return [
        n for n in candidates if hasattr(importlib.import_module(f"{package.__name__}.{n}"), "make")
    ]


def resolve(room: str, name: object) -> Callable:
    """The maker of the component `name`; a dotted name is imported from anywhere.

    Args:
      room: the field the name stands under, or another word for what is looked for.
      name: as a config gives it.

    Raises:
      UserError: no component of that name (the message lists those there are), no such module, or
        what it names cannot be called.
      Fault: the module of a dotted name fails while it is imported.
    """
    if not isinstance(name, str):
        raise UserError(f"{room} needs a name in text, not {shown(name)}")
    if "." in name:
        return _imported(room, name)
    accepted = _accepted(room)
    if name not in accepted:
        raise choose_from(room, name, accepted)
    if room in ATTRIBUTE_ROOMS:
        return getattr(importlib.import_module(ATTRIBUTE_ROOMS[room]), name)
    return importlib.import_module(f"{MODULE_ROOMS[room]}.{name}").make


def _imported(room: str, name: str) -> Callable:
    module_name, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(
            f"{room} {name!r} cannot be imported: a name of one's own is MODULE.NAME, as mine.make"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if module_name == error.name or module_name.startswith(f"{error.name}."):
            raise UserError(
                f"{room} {name!r} cannot be imported: there is no module {error.name!r} where you "
                "are or in PYTHONPATH"
            ) from error
        raise Fault(f"the module of {room} {name!r} fails: {error}") from error
    except UNEXPECTED as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"the module of {room} {name!r} fails: {what}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{room} {name!r} cannot be imported: {module_name} has no {attribute}")
    maker = getattr(module, attribute)
    if not callable(maker):
        kind = "module" if inspect.ismodule(maker) else type(maker).__name__
        raise UserError(
            f"{room} {name!r} is a {kind}: name a class or a function that makes a component"
        )
    return maker


def build(room: str, spec: Mapping[str, Any], *, path: str = "", **context: Any) -> Any:
    """Builds the component `spec` describes.

    Args:
      room: the field the spec stands under, e.g. "model".
      spec: {"name": ..., fields...}; nested specs are built depth-first.
      path: the config field of the spec, for messages; `config.ROOM` by default.
      context: facts of the data ("levels", "input_levels", "num_classes") given to every component
        that has a field of that name and does not set it.

    Raises:
      UserError: an unknown name or field (the message lists what is accepted), a missing one, or a
        value that the component refuses.
      Fault: the component's own code fails.
    """
    path = path or f"config.{room}"
    if "name" not in spec:
        raise UserError(f"{path} has no name")
    maker = resolve(room, spec["name"])
    fields = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            if key not in MODULE_ROOMS and key not in ATTRIBUTE_ROOMS:
                raise choose_from("component field", key, {*MODULE_ROOMS, *ATTRIBUTE_ROOMS})
            value = build(key, value, path=f"{path}.{key}", **context)
        elif value is not None and (key in MODULE_ROOMS or key in ATTRIBUTE_ROOMS):
            raise UserError(f"{path}.{key} is a component with a name, not {shown(value)}")
        if key != "name":
            fields[key] = value
    what = f"{room} {spec['name']}"
    parameters = _parameters(what, maker)
    unknown = [key for key in fields if key not in parameters]
    if len(unknown) > 1 or any(_is_of_another(room, key, spec["name"]) for key in unknown):
        means = "a config of your own changes all of them"
        if room == "prior":
            means = "a config's argument changes all of them, as in digits_vae:prior=vamp"
        raise UserError(
            f"{what} does not have the field{'s' * (len(unknown) > 1)} {', '.join(unknown)}: those "
            f"of another {room} stay where {path}.name= alone is changed; {means}"
        )
    for key, value in fields.items():
        if key not in parameters:
            raise choose_from(f"field of {what}:", key, parameters)
        kind, default = parameters[key].annotation, parameters[key].default
        optional = default is None or type(None) in typing.get_args(kind)
        if value is None and not optional and (key in MODULE_ROOMS or key in ATTRIBUTE_ROOMS):
            raise UserError(f"{path}.{key} is a component with a name, not None")
        if rules.checkable(kind) and not (type(value) is type(default) and value == default):
            fields[key] = rules.checked(f"{path}.{key}", value, kind)
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
        return maker(**fields)
    except UserError as error:
        raise UserError(f"{what} ({path}): {error}") from error
    except UNEXPECTED as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"{what} ({path}) cannot be made: {reason}") from error


def default_of(room: str, name: str, field: str) -> Any:
    """The default of a component's field; None where there is none, or what `build` gives it."""
    try:
        parameter = _parameters(room, resolve(room, name)).get(field)
    except UserError:  # of a name that `build` refuses in its turn
        return None
    if field in CONTEXT or parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default


def _is_of_another(room: str, field: str, name: str) -> bool:
    """Whether another component of this room has a field."""
    makers = (resolve(room, other) for other in _accepted(room) if other != name)
    return any(field in inspect.signature(maker).parameters for maker in makers)


def _parameters(what: str, maker: Callable) -> dict[str, inspect.Parameter]:
    """The fields of a component, by what its maker takes."""
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError) as error:  # of some that are not written in Python
        raise UserError(f"{what} cannot be made: its fields are not known ({error})") from error
    return {name: parameter for name, parameter in parameters.items() if name != "parent"}


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
            yield inspect.getfile(inspect.unwrap(resolve(room, name))), f"{room} {name} ({path})"
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            yield from _sources(key, value, f"{path}.{key}")
