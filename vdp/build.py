"""From a spec to an object: the one place where a name becomes a module.

A spec is a mapping with `name`. Mappings with a name inside it are built first, and the field
they stand under says the room they come from.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from vdp.errors import UserError, choose_from

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
    """Returns the maker of component `name`; a dotted name is imported from anywhere."""
    if "." in name:
        module_name, _, attribute = name.rpartition(".")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{room} {name!r} cannot be imported: {error}") from error
    accepted = _accepted(room)
    if name not in accepted:
        raise choose_from(room, name, accepted)
    if room in ATTRIBUTE_ROOMS:
        return getattr(importlib.import_module(ATTRIBUTE_ROOMS[room]), name)
    return importlib.import_module(f"{MODULE_ROOMS[room]}.{name}").make


def build(room: str, spec: Mapping[str, Any], **context) -> Any:
    """Builds the component `spec` describes.

    Args:
      room: the field the spec stands under, e.g. "model".
      spec: {"name": ..., fields...}; nested specs are built depth-first.
      context: facts of the data ("levels", "input_levels", "num_classes") given to every component
        that has a field of that name and does not set it.

    Raises:
      UserError: an unknown name or field (the message lists what is accepted) or a bad value.
    """
    if "name" not in spec:
        raise UserError(f"the {room} of this config has no name")
    maker = resolve(room, spec["name"])
    fields = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            if key not in MODULE_ROOMS and key not in ATTRIBUTE_ROOMS:
                raise choose_from("component field", key, {*MODULE_ROOMS, *ATTRIBUTE_ROOMS})
            value = build(key, value, **context)
        if key != "name":
            fields[key] = value
    accepted = [name for name in inspect.signature(maker).parameters if name not in ("parent",)]
    for key in fields:
        if key not in accepted:
            raise choose_from(f"field of {room} {spec['name']}:", key, accepted)
    fields |= {k: v for k, v in context.items() if k in accepted and k not in fields}
    try:
        return maker(**fields)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{room} {spec['name']!r}: {error}") from error


def model(config, facts) -> Any:
    """Builds `config.model` for data of these facts, and proves that it fits their shape.

    Raises:
      UserError: from `build`, or the networks cannot take images of that shape.
    """
    spec = config.model.to_dict()
    context = {
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
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"config.model does not fit images of shape {facts.shape}: {type(error).__name__}: "
            f"{first[:200]}"
        ) from error
    return built
