"""From a spec to an object: the one place where a name becomes a module.

A spec is a mapping with `name`. Mappings with a name inside it are built first, and the field
they stand under says the room they come from.
"""

import contextlib
import importlib
import importlib.resources
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from vdp.data.datasets import Facts
from vdp.errors import Fault, UserError, choose_from
from vdp.types import Adjustable, Model

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


def _accepted(room: str) -> list[str]:
    if room in ATTRIBUTE_ROOMS:
        module = importlib.import_module(ATTRIBUTE_ROOMS[room])
        if hasattr(module, "__all__"):
            return list(module.__all__)
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


def resolve(room: str, name: str) -> Callable:
    """The maker of the component `name`; a dotted name is imported from anywhere.

    Raises:
      UserError: no component of that name (the message lists those there are), or no such module.
      Fault: the module of a dotted name fails while it is imported.
    """
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
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if module_name == error.name or module_name.startswith(f"{error.name}."):
            raise UserError(
                f"{room} {name!r} cannot be imported: there is no module {error.name!r} where you "
                "are or in PYTHONPATH"
            ) from error
        raise Fault(f"the module of {room} {name!r} fails: {error}") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise Fault(f"the module of {room} {name!r} fails: {what}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{room} {name!r} cannot be imported: {module_name} has no {attribute}")
    return getattr(module, attribute)


def build(room: str, spec: Mapping[str, Any], *, path: str = "", **context) -> Any:
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
        if key != "name":
            fields[key] = value
    what = f"{room} {spec['name']}"
    parameters = {n: p for n, p in inspect.signature(maker).parameters.items() if n != "parent"}
    for key in fields:
        if key not in parameters:
            raise choose_from(f"field of {what}:", key, parameters)
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
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise Fault(f"{what} ({path}) cannot be made: {reason}") from error


def model(spec: Mapping[str, Any], facts: Facts) -> Model:
    """Builds `config.model` for data of these facts, and proves that it fits their shape.

    Args:
      spec: of the model.
      facts: of the data.

    Raises:
      UserError: as of `build`, or a component cannot take images of that shape and says so.
      Fault: a component's own code fails; the message names it.
    """
    context: dict[str, Any] = {
        "levels": facts.levels,
        "input_levels": facts.input_levels,
        "num_classes": facts.info.num_classes,
    }
    built = build("model", spec, **context)
    try:
        jax.eval_shape(lambda: built.init(jax.random.key(0), facts.shape))
    except UserError:
        raise
    except Exception as error:  # flax and jax raise many kinds
        first = (str(error).splitlines() or [""])[0][:200]
        where = blame(error, spec) or f"model {spec['name']} (config.model)"
        raise Fault(
            f"{where} fails for images of shape {facts.shape}: {type(error).__name__}: {first}"
        ) from error
    return built


def check_sampler(model: Model, options: Mapping[str, Any]) -> None:
    """Refuses options of `sample` that a model does not have, or that mean nothing; UserError."""
    if isinstance(model, Adjustable):
        model.check_sampler(**options)
    elif options:
        raise UserError(f"this model is sampled without options: there is no {', '.join(options)}")


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
