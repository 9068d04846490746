"""How a field of the settings is checked: its type, range and choices, in one form of message."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

from vdp.errors import UserError, choose_from


class Rule:
    """What the value of a field has to satisfy beyond its type, as `Annotated[int, RULE]`."""

    def check(self, name: str, value: Any) -> None:
        """Raises UserError for the field `name` where the value does not satisfy the rule."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class AtLeast(Rule):
    """A number of at least `least`."""

    least: float

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        if not value >= self.least:
            raise UserError(f"{name} must be at least {self.least:g}, not {value}")


@dataclasses.dataclass(frozen=True)
class Between(Rule):
    """A number in [low, high), or in [low, high] where it is `closed`."""

    low: float
    high: float
    closed: bool = False

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        below = value <= self.high if self.closed else value < self.high
        if not (self.low <= value and below):
            end = "]" if self.closed else ")"
            raise UserError(f"{name} must lie in [{self.low:g}, {self.high:g}{end}, not {value}")


class OneOf(Rule):
    """One of a closed list of names, or a tuple of them."""

    def __init__(self, *accepted: str):
        self.accepted = accepted

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        entries = value if isinstance(value, tuple) else (value,)
        what = f"entry of {name}" if isinstance(value, tuple) else name
        for entry in entries:
            if entry not in self.accepted:
                raise choose_from(what, entry, self.accepted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Base of one section of a config: a frozen dataclass whose fields are checked when it is made.

    A field's type is its annotation: bool, int, float, str, any of them `| None`, a tuple of them,
    or a Mapping to float. `Annotated[...]` adds rules.
    """

    section: ClassVar[str] = ""

    def __post_init__(self):
        hints = typing.get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):
            name = ".".join(filter(None, ("config", self.section, field.name)))
            kind, *rules = typing.get_args(hints[field.name]) or (hints[field.name],)
            if not rules or not isinstance(rules[0], Rule):
                kind, rules = hints[field.name], []
            value = converted(name, getattr(self, field.name), kind)
            object.__setattr__(self, field.name, value)
            for rule in rules:
                rule.check(name, value)


def converted(name: str, value: Any, kind: Any) -> Any:
    """The value as the type `kind`: whole floats become int, int float, lists tuples.

    Raises:
      UserError: it is of another type; the message names the field and the type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return converted(name, value, next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        entries = value if isinstance(value, list | tuple) else (value,)
        return tuple(converted(f"entry of {name}", entry, arguments[0]) for entry in entries)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"{name} needs names with values, not {value!r}")
        return {
            key: converted(f"{name}.{key}", entry, arguments[1]) for key, entry in value.items()
        }
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and not math.isnan(value):
        return float(value)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind in (float, int) or not isinstance(value, kind):
        raise UserError(f"{name} needs a value of type {kind.__name__}, not {value!r}")
    return value
