"""What `--help --config=NAME` answers: the variants of one config, and every field it can have."""

import ast
import dataclasses
import inspect
import re
import types

from vdp import config
from vdp.settings import Settings, compare
from vdp.variants import grammar

COMMENT = re.compile(r"^    (\w+): [^#\n]+?  # (.*)$", re.MULTILINE)  # of a field, in its class
WIDTH = 44  # of "field = value", up to its comment


def choices(name: str) -> grammar.Choices:
    """What may follow the colon of a config's name, from running its file.

    Raises:
      UserError: there is no such config.
      Fault: the file itself fails.
    """
    with grammar.listening() as seen:
        config.load(name)
    return seen[0] if seen else grammar.Choices(words=(), keys={})


def comments() -> dict[str, str]:
    """What the source says of a field, {"train.steps": ...}, where it says something."""
    said = {}
    for section in dataclasses.fields(Settings):
        if isinstance(section.type, type) and not isinstance(section.type, types.GenericAlias):
            for field, comment in COMMENT.findall(_source(section.type)):
                said[f"{section.name}.{field}"] = comment
    return said


def _source(cls: type) -> str:
    return inspect.getsource(cls) if dataclasses.is_dataclass(cls) else ""


def text(argument: str) -> str:
    """The whole answer for NAME or NAME:VARIANT.

    Raises:
      UserError: no such config or variant.
      Fault: the file itself fails.
    """
    name = argument.partition(":")[0]
    known = choices(name)
    head = (ast.get_docstring(ast.parse(config.find(name).read_text())) or "").strip()
    lines = [head, "", f"variants, after the colon of --config={name}:, with commas between them:"]
    lines += [f"  {word}" for word in known.words]
    for key, values in known.keys.items():
        listed = [str(value) for value in values if value not in grammar.CHOSEN_BY_CONFIG]
        chosen = "" if len(listed) < len(values) else f" (without it: {listed[0]})"
        lines.append(f"  {key}={'|'.join(listed)}{chosen}")
    lines += ["", f"fields, as --config.FIELD=VALUE, with the values of {argument}:"]
    return "\n".join([*lines, *_fields(argument)])


def _fields(argument: str) -> list[str]:
    flat = compare.flatten(config.load(argument).to_dict())
    said, lines = comments(), []
    for field, value in flat.items():
        left, what = f"  {field} = {value}", said.get(field, said.get(field.rpartition(".")[0]))
        lines.append(f"{left:{WIDTH}}  # {what}" if what else left)
    return lines
