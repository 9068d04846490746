"""Between a ConfigDict, which people write and override, and `Settings`, which is checked."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from vdp.errors import UserError, choose_from, first_line, shown
from vdp.settings.sections import Settings


def parse(config: object) -> Settings:
    """Checks a whole config and returns its settings; fields that it lacks have their defaults.

    Args:
      config: a ConfigDict, or nested mappings as config.json holds them (lists for tuples, null for
        what is not set).

    Raises:
      UserError: an unknown field (the message names the nearest one), a value of another type, out
        of its range, or that does not go with another.
    """
    try:
        given = config.to_dict() if isinstance(config, config_dict.ConfigDict) else config
    except Exception as error:  # of ml_collections: a placeholder that has to be set, a cycle
        raise UserError(f"the config cannot be read: {first_line(error)}") from error
    if not isinstance(given, Mapping):
        raise UserError(f"a config holds sections with fields, and is not {shown(given)}")
    given = _with_tuples(given)
    names = {field.name: field for field in dataclasses.fields(Settings)}
    known = [*names, *(f"{s}.{f}" for s in names for f in _fields_of(names[s]))]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in names:
            raise choose_from("config field", name, names, near=known)
        section = names[name].default_factory
        if name in ("seed", "notes", "model"):
            values[name] = value
            continue
        if not isinstance(value, Mapping):
            raise UserError(f"config.{name} holds fields, and is not {shown(value)}")
        for field in value:
            if field not in _fields_of(names[name]):
                accepted = [f"{name}.{f}" for f in _fields_of(names[name])]
                raise choose_from("config field", f"{name}.{field}", accepted, near=known)
        assert callable(section)
        values[name] = section(**value)
    return Settings(**values)


def _fields_of(field: dataclasses.Field) -> list[str]:
    """The names of a section's fields; none of `seed`, `notes` and `model`."""
    section = field.default_factory
    return (
        [f.name for f in dataclasses.fields(section)] if dataclasses.is_dataclass(section) else []
    )


def _with_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list | tuple) else value


def to_config(settings: Settings) -> config_dict.ConfigDict:
    """The ConfigDict of settings; what is not set is a placeholder for a string."""

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: convert(item) for key, item in value.items()}
        return config_dict.placeholder(str) if value is None else value

    return config_dict.ConfigDict(convert(dataclasses.asdict(settings)), convert_dict=True)


def to_json(settings: Settings) -> dict[str, Any]:
    """Plain nested dicts, as config.json holds them: lists for tuples, null for what is not set."""
    return json.loads(json.dumps(dataclasses.asdict(settings), default=list))
