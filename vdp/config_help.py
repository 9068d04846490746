"""What `--help --config=NAME` answers: the variants of one config, and every field it can have."""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vdp import components, config
from vdp.errors import Fault, UserError
from vdp.settings import Settings, compare
from vdp.variants import grammar

COMMENT = re.compile(r"^    (\w+): [^#\n]+?  # (.*)$", re.MULTILINE)  # of a field, in its class
ENTRY = re.compile(r"^  (\w+(?:, \w+)*): (.*(?:\n    .*)*)", re.MULTILINE)  # of a docstring's list
WIDTH = 44  # of "field = value", up to its comment
LONGEST = 100  # of a comment that was cut from a docstring


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


def of_components(spec: Mapping[str, Any], room: str = "model") -> dict[str, str]:
    """What components say of their fields, {"model.prior.num_steps": ...}: docstrings, shortened.

    Args:
      spec: of a component; of one that cannot be found nothing is said, nor of what it contains.
      room: the field it stands under.
    """
    try:
        maker = components.resolve(room, spec.get("name"))
    except (UserError, Fault):
        return {}
    documented = list(_docstrings(maker))
    entries = {name: text for doc in documented for name, text in _entries(doc)}
    module = sys.modules.get(f"{components.MODULE_ROOMS.get(room)}.{spec['name']}")
    whole = documented[-1] if module is None else module.__doc__ or ""
    entries["name"] = whole.partition("\n")[0].rstrip(".")
    said: dict[str, str] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping):
            said |= {f"{room}.{field}": text for field, text in of_components(value, key).items()}
        elif key in entries:
            said[f"{room}.{key}"] = entries[key]
    return said


def _docstrings(maker: Callable) -> Iterator[str]:
    """Of the bases of a class, or of what a function makes, the farthest first; its own last."""
    made = maker if isinstance(maker, type) else inspect.signature(maker).return_annotation
    classes = inspect.getmro(made) if isinstance(made, type) else ()
    for documented in (*classes[::-1][1:], maker):
        yield documented.__doc__ or ""


def _entries(doc: str) -> Iterator[tuple[str, str]]:
    """(field, the first sentence said of it) of a docstring with a list of attributes or Args.

    What only says where the field is described, "as of `X`", is left out.
    """
    for names, text in ENTRY.findall(inspect.cleandoc(doc)):
        sentence = re.split(r"(?<!al)[.] |[.]$", " ".join(text.split()))[0]
        if not re.match(r"(as )?(of|in) `\w+`", sentence):
            for name in names.split(", "):
                yield name, textwrap.shorten(sentence, LONGEST, placeholder=" ...")


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
    fields = config.load(argument).to_dict()
    flat = compare.flatten(fields)
    said, lines = comments() | of_components(fields.get("model", {})), []
    for field, value in flat.items():
        left, what = f"  {field} = {value}", said.get(field, said.get(field.rpartition(".")[0]))
        lines.append(f"{left:{WIDTH}}  # {what}" if what else left)
    if not fields.get("model"):
        lines.append("  the model and lengths follow from the images: --config.data.name=... with")
        lines.append("  --mode=describe says them")
    return lines
