"""How a field of the settings is checked: its type, range and choices, in one form of message."""

import contextlib
import dataclasses
import math
import numbers
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from vdp.errors import UserError, choose_from, shown


class Rule:
    """What the value of a field has to satisfy beyond its type, as `Annotated[int, RULE]`."""

    def check(self, name: str, value: Any) -> None:
        """Raises UserError for the field `name` where the value does not satisfy the rule."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class AtLeast(Rule):
    """A number of at least `least`, and at most `most`."""

    least: float
    most: float = math.inf

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        if not value >= self.least:
            raise UserError(f"{name} must be at least {self.least}, not {shown(value)}")
        if value > self.most:
            raise UserError(f"{name} must be at most {self.most}, not {shown(value)}")


@dataclasses.dataclass(frozen=True)
class Above(Rule):
    """A number above `limit`."""

    limit: float

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        if not value > self.limit:
            raise UserError(f"{name} must be above {self.limit}, not {shown(value)}")


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
            raise UserError(f"{name} must lie in [{self.low}, {self.high}{end}, not {shown(value)}")


@dataclasses.dataclass(frozen=True)
class Matches(Rule):
    """A text of the form of a regular expression; `form` says it in words."""

    pattern: str
    form: str

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        if not re.fullmatch(self.pattern, value):
            raise UserError(f"{name} must be {self.form}, not {shown(value)}")


class NotEmpty(Rule):
    """A tuple of one entry or more."""

    def check(self, name: str, value: Any) -> None:
        """As of `Rule`."""
        if not value:
            raise UserError(f"{name} needs one entry or more")


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


MOST = 2**31 - 1  # what jax's integers can count
Seed = Annotated[int, AtLeast(0, most=2**32 - 1)]  # others would be one of these again
Natural = Annotated[int, AtLeast(0, most=MOST)]
Count = Annotated[int, AtLeast(1, most=MOST)]
Size = Annotated[int, AtLeast(1, most=2**20)]  # of an array's axis: of a layer, a batch, a table
Sizes = Annotated[tuple[Size, ...], NotEmpty()]
SizeOrNone = Annotated[int, AtLeast(0, most=2**20)]  # 0 leaves it out, or to be chosen
Depth = Annotated[int, AtLeast(0, most=1000)]  # layers, each of which is compiled
Share = Annotated[float, Between(0, 1)]
Amount = Annotated[float, AtLeast(0)]
Positive = Annotated[float, Above(0)]
LogVariance = Annotated[float, Between(-80, 80, closed=True)]  # exp() of it is a float32
Dtype = Annotated[str, OneOf("float32", "bfloat16", "float16")]  # jax computes no float64 here


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """Base of frozen dataclasses whose fields are checked by their types when they are made.

    A field's type is its annotation, as of `checked`; those that it does not know, as networks and
    annotations that are strings, are left alone. `path` stands before a field's name in messages.
    """

    path: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if checkable(field.type):
                value = checked(self.path + field.name, getattr(self, field.name), field.type)
                object.__setattr__(self, field.name, value)


def checkable(kind: Any) -> bool:
    """Whether `checked` knows the type: of a component's field it may be any other."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return checkable(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return all(argument is type(None) or checkable(argument) for argument in arguments)
    if origin is tuple:
        return all(argument is Ellipsis or checkable(argument) for argument in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return checkable(arguments[1])
    return kind in (bool, int, float, str)


def checked(name: str, value: Any, kind: Any) -> Any:
    """The value as the type `kind`: whole floats become int, int float, lists tuples.

    Args:
      name: of the field, for messages.
      value: anything.
      kind: bool, int, float (finite), str, a tuple of them, a Mapping to them, or a union of these
        and None; `Annotated[...]` adds rules.

    Raises:
      UserError: it is of another type or against a rule; the message names the field.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        value = checked(name, value, arguments[0])
        for rule in arguments[1:]:
            if isinstance(rule, Rule):
                rule.check(name, value)
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _checked_as_one_of(name, value, [a for a in arguments if a is not type(None)])
    if origin is tuple:
        entries = value if isinstance(value, list | tuple) else (value,)
        kinds = arguments[:1] * len(entries) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(entries):
            raise UserError(f"{name} needs {len(kinds)} values, not {shown(value)}")
        return tuple(
            checked(f"entry of {name}", entry, of_entry)
            for entry, of_entry in zip(entries, kinds, strict=True)
        )
    if origin is not None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise UserError(f"{name} needs names with values, not {shown(value)}")
        return {key: checked(f"{name}.{key}", entry, arguments[1]) for key, entry in value.items()}
    return _plain(name, value, kind)


def _checked_as_one_of(name: str, value: Any, kinds: list[Any]) -> Any:
    """The value as the first of several types that it has; UserError as of the last."""
    for kind in kinds[:-1]:
        with contextlib.suppress(UserError):
            return checked(name, value, kind)
    return checked(name, value, kinds[-1])


def _plain(name: str, value: Any, kind: type) -> Any:
    """The value as a bool, int, float or str; UserError where it is none."""
    if kind in (int, float) and isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # of an integer that no float can hold
            number = math.inf
        if not math.isfinite(number):
            raise UserError(
                f"{name} needs a value of type {kind.__name__} that is finite, not {shown(value)}"
            )
        if kind is float:
            return number
        if number.is_integer():
            return int(value)  # type: ignore[call-overload]  # of every Real that is whole
    if kind in (float, int) or not isinstance(value, kind):
        raise UserError(f"{name} needs a value of type {kind.__name__}, not {shown(value)}")
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"{name} cannot hold the character zero, as {shown(value)} does")
    return value
