"""Names of components: what there is, what a name stands for, and which fields it has.

Nothing of it is imported before it is named.
"""

import importlib
import importlib.resources
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from vdp.errors import UNEXPECTED, Fault, UserError, choose_from, first_line, shown

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
ROOMS = (*MODULE_ROOMS, *ATTRIBUTE_ROOMS)
PLAIN = (bool, int, float, str, tuple)  # types of fields that a command line can give
CONTEXT = ("levels", "input_levels", "num_classes")  # facts of the data, for MODULE_ROOMS


def accepted(room: str) -> list[str]:
    """The names of the components that may stand under a field."""
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
    known = accepted(room)
    if name not in known:
        raise choose_from(room, name, known)
    if room in ATTRIBUTE_ROOMS:
        return getattr(importlib.import_module(ATTRIBUTE_ROOMS[room]), name)
    return importlib.import_module(f"{MODULE_ROOMS[room]}.{name}").make


def _imported(room: str, name: str) -> Callable:
    module_name, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(
            f"{room} {name!r} cannot be imported: a name of one's own is MODULE.NAME, as mine.make"
        )
    if module_name == "__main__":
        raise UserError(
            f"{room} {name!r} is of a program or a notebook, where no run could find it again: "
            f"write it to a file, mine.py say, and name mine.{attribute}"
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
        where = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
        raise UserError(
            f"{room} {name!r} cannot be imported: {module_name}{where} has no {attribute}"
        )
    maker = getattr(module, attribute)
    if not callable(maker):
        kind = "module" if inspect.ismodule(maker) else type(maker).__name__
        raise UserError(
            f"{room} {name!r} is a {kind}: name a class or a function that makes a component"
        )
    return maker


def parameters(what: str, maker: Callable) -> dict[str, inspect.Parameter]:
    """The fields of a component, by what its maker takes."""
    try:
        found = inspect.signature(maker).parameters
    except (TypeError, ValueError) as error:  # of some that are not written in Python
        raise UserError(f"{what} cannot be made: its fields are not known ({error})") from error
    return {name: parameter for name, parameter in found.items() if name != "parent"}


def defaults(room: str, name: str) -> dict[str, Any]:
    """A component's fields that can be written down, with their defaults.

    A field that has none, or None, stands with an empty value of its type (0, "", ...). Those are
    left out that `build` gives it; {} of a name that `build` refuses in its turn.
    """
    if room not in ROOMS:
        return {}
    try:
        found = parameters(room, resolve(room, name))
    except UserError:
        return {}
    theirs = CONTEXT if room in MODULE_ROOMS else ()
    own = {field: p for field, p in found.items() if field not in theirs}
    written = {field: _written(p) for field, p in own.items()}
    return {field: default for field, default in written.items() if default is not None}


def _written(parameter: inspect.Parameter) -> Any:
    """The default, or where there is none an empty value of the field's type; None: not plain."""
    if isinstance(parameter.default, PLAIN):
        return parameter.default
    if parameter.default is not None and parameter.default is not parameter.empty:
        return None
    kind = parameter.annotation
    if isinstance(kind, str):  # as under `from __future__ import annotations`
        kind = {plain.__name__: plain for plain in PLAIN}.get(kind)
    plain = _plain(kind)
    return None if plain is None else plain()


def _plain(kind: Any) -> type | None:
    """The type of PLAIN that an annotation stands for, or the first of a union; None: none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _plain(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return next((found for option in arguments if (found := _plain(option))), None)
    return next((plain for plain in PLAIN if plain in (kind, origin)), None)


def is_of_another(room: str, field: str, name: str) -> bool:
    """Whether another component of this room has a field."""
    makers = (resolve(room, other) for other in accepted(room) if other != name)
    return any(field in inspect.signature(maker).parameters for maker in makers)
