"""Finding and running config files, and overriding their fields.

No jax here: a wrong flag is answered at once.
"""

import ast
import contextlib
import dataclasses
import importlib.util
import inspect
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import config_dict

from vdp import components, variants
from vdp.errors import UNEXPECTED, Fault, UserError, choose_from, did_you_mean, first_line, shown
from vdp.runtime import files
from vdp.settings import Data, Settings, compare, epochs
from vdp.settings.parse import parse

Overrides = Sequence[tuple[str, str]]  # [(field, text)]
OF_ITS_DATA = {  # what a config says of its own data set: of another one this is said
    "data.augmentation": "none",
    "model.input_mean": 0.5,
    "model.input_std": 0.5,
}


def config_folders() -> list[pathlib.Path]:
    """Where configs are found by name: beside the checkout, then inside the installed package."""
    package = pathlib.Path(__file__).resolve().parent
    return [f for f in (package.parent / "configs", package / "configs") if f.is_dir()]


def config_names() -> list[str]:
    """The names `--config=NAME` accepts."""
    return sorted({p.stem for f in config_folders() for p in f.glob("*.py") if p.stem[0] != "_"})


def summaries() -> dict[str, str]:
    """The first line of every config's docstring, by name; nothing is run."""
    files = {p.stem: p for f in reversed(config_folders()) for p in f.glob("*.py")}
    return {name: _summary(files[name]) for name in config_names()}


def _summary(path: pathlib.Path) -> str:
    try:
        text = ast.get_docstring(ast.parse(path.read_text()))
    except (OSError, ValueError, SyntaxError) as error:  # one that somebody is writing
        return f"cannot be read ({first_line(error)})"
    return (text or "").partition("\n")[0]


def find(name: str) -> pathlib.Path:
    """The file meant by a path or a name."""
    path = files.located(name)
    if path.is_file():
        return path
    bare = path.name.removesuffix(".py")
    looks_like_name = name == bare or path.parts[:-1] == ("configs",)
    if looks_like_name:
        for folder in config_folders():
            if (folder / f"{bare}.py").is_file():
                return folder / f"{bare}.py"
    names = config_names()
    hint = did_you_mean(bare, names)
    raise UserError(
        f"there is no config {name!r}{hint}: give the path of a file or one of {', '.join(names)}"
    )


def load(argument: str) -> config_dict.ConfigDict:
    """Runs `get_config` of FILE[:VARIANT] or NAME[:VARIANT], without facts of any data.

    Raises:
      UserError: no such config or variant.
      Fault: the file itself fails.
    """
    name, _, variant = argument.partition(":")
    return _made(find(name), variant)[0]


def _made(
    path: pathlib.Path, variant: str, facts: variants.Facts | None = None
) -> tuple[config_dict.ConfigDict, bool]:
    """(the config of a file, whether its `get_config` asks for facts of the data)."""
    if path.suffix != ".py":
        raise UserError(f"config {path} is not a Python file")
    spec = importlib.util.spec_from_file_location(f"_vdp_config_{path.stem}", path)
    assert spec is not None  # of a .py file
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise UserError(f"config {path} has no function get_config(arg)")
        get_config: Callable = module.get_config
        asks = "facts" in inspect.signature(get_config).parameters
        config = get_config(variant, facts=facts) if asks else get_config(variant)
    except UserError:
        raise
    except UNEXPECTED as error:  # a config is a program of the user's
        what = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"the config file {path} fails: {what}") from error
    if not isinstance(config, config_dict.ConfigDict):
        raise UserError(f"config {path}: get_config must return an ml_collections ConfigDict")
    return config, asks


def default_workdir(argument: str) -> pathlib.Path:
    """runs/<config>[-<variant>]."""
    name, _, variant = argument.partition(":")
    stem = pathlib.Path(name).name.removesuffix(".py")
    return pathlib.Path("runs") / (f"{stem}-{variant.replace('/', '_')}" if variant else stem)


def override(config: config_dict.ConfigDict, overrides: Overrides) -> None:
    """Applies `--config.FIELD=VALUE` in order, each value read as the type the field has.

    A length in steps puts the one in epochs beside it to 0, and a note on a field goes with its
    value, also where the length beside it is given.

    Raises:
      UserError: an unknown field (the message lists its siblings) or a value of another type.
    """
    for field, text in overrides:
        *parents, leaf = field.split(".")
        groups = _section(config, "optim").get("groups")
        of_groups = parents == ["optim", "groups"] and isinstance(groups, config_dict.ConfigDict)
        if of_groups and leaf not in groups:
            with groups.unlocked():
                groups[leaf] = 1.0  # of any part of the model: the optimiser knows them
        node = config
        for depth, key in enumerate([*parents, leaf]):
            if not isinstance(node, config_dict.ConfigDict) or key not in node:
                left = _left_at_defaults(node, parents[:depth])
                if depth < len(parents) or key not in left:
                    siblings = node.keys() if isinstance(node, config_dict.ConfigDict) else ()
                    known = [".".join([*parents[:depth], name]) for name in [*siblings, *left]]
                    flat = compare.flatten(config.to_dict())
                    elsewhere = [name for name in flat if name.endswith(f".{leaf}")]
                    raise choose_from("config field", field, known, near=elsewhere)
                with node.unlocked():
                    node[leaf] = left[leaf]
            parent, node = node, node[key]
        if isinstance(node, config_dict.ConfigDict):
            raise choose_from("config field", field, [f"{field}.{key}" for key in node])
        value = _parse(field, text, parent.get_type(leaf))
        try:
            parent[leaf] = value
        except Exception as error:  # of ml_collections: of another type inside, or not to be set
            reason = first_line(error)
            raise UserError(f"config.{field} cannot be {shown(text)}: {reason}") from error
        section, _, beside = (epochs.unset(field) or "").partition(".")
        if beside and beside in _section(config, section):
            config[section][beside] = 0.0
        if isinstance(config.get("notes"), tuple | list):  # what else it is, is refused later
            replaced = (f"{field}:", f"{epochs.beside(field)}:")
            config.notes = tuple(n for n in config.notes if not str(n).startswith(replaced))


def _left_at_defaults(node: Any, path: Sequence[str]) -> dict[str, Any]:
    """The fields that a component has and its config leaves at their defaults; {} of no one."""
    is_component = path[:1] == ["model"] and isinstance(node, config_dict.ConfigDict)
    if not is_component or not isinstance(node.get("name"), str):
        return {}
    found = components.defaults(path[-1], node.name)
    return {field: default for field, default in found.items() if field not in node}


def _section(config: config_dict.ConfigDict, name: str) -> config_dict.ConfigDict:
    """A section of a config; an empty one in place of what is none, which `parse` refuses."""
    found = config.get(name)
    return found if isinstance(found, config_dict.ConfigDict) else config_dict.ConfigDict()


def _parse(field: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "false", "1", "0"):
            return text.lower() in ("true", "1")
        raise UserError(f"config.{field} is True or False, not {shown(text)}")
    try:
        with warnings.catch_warnings():  # the compiler's, of digits before letters
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # bare words
        value = text
        if kind is tuple:
            inside = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
            value = tuple(part.strip() for part in inside.split(",") if part.strip())
    if kind is tuple and not isinstance(value, tuple):
        value = tuple(value) if isinstance(value, list) else (value,)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # too large, as is said where it is checked
            value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"config.{field} needs a value of type {kind.__name__}, not {shown(text)}")
    return value


def settings(argument: str, overrides: Overrides = ()) -> Settings:
    """The settings of `--config=ARGUMENT --config.FIELD=TEXT ...`; errors as of its parts.

    A config whose `get_config(arg, facts=None)` asks for facts is one for any images: it is run
    once for its `data`, the images that these and the overrides name are looked at, and it is run
    again with what is known of them. All overrides come last; where train.epochs is one, the
    lengths that the config chose in epochs beside it keep their proportion to it. What a config
    says of its own data set (`OF_ITS_DATA`) is left out where an override names another one.
    """
    name, _, variant = argument.partition(":")
    path = find(name)
    config, asks = _made(path, variant)
    if asks:
        override(config, [(field, text) for field, text in overrides if field.startswith("data.")])
        config, _ = _made(path, variant, _facts(parse(config).data, name))
    before = _section(config, "data").get("name")
    length = _epochs(config)
    override(config, overrides)
    if asks:
        _keep_proportions(config, overrides, length)
    if before and config.data.name != before:
        _leave_out_what_is_of_its_data(config, before, {field for field, _ in overrides})
    return parse(config)


def _keep_proportions(config: config_dict.ConfigDict, overrides: Overrides, before: float) -> None:
    now = _epochs(config)
    for field in epochs.in_proportion(overrides, before, now):
        section, leaf = field.split(".")
        if _section(config, section).get(leaf):
            config[section][leaf] *= now / before
            config.notes = (*config.get("notes", ()), epochs.in_proportion_note(field))


def _epochs(config: config_dict.ConfigDict) -> float:
    """train.epochs, or 0 where a config is not one that can be read; that is said later."""
    return _section(config, "train").get("epochs", 0.0)


def _facts(data: Data, config: str) -> variants.Facts:
    """What a config for any images is made for; UserError where no images are named."""
    if not data.name:
        raise UserError(
            f"config {config} is one for images of your own: name them, as by "
            "config.data.name=folder:PATH"
        )
    from vdp.data import datasets  # not where a config is only read: sweeps plan without numpy

    dataset = datasets.load(dataclasses.replace(data, num_validation=0))
    train, facts = dataset.splits["train"], dataset.facts
    if len(train) < 2:
        raise UserError(f"config {config} needs two training images, and {data.name} has one")
    mean, std = datasets.moments(train, facts)
    return variants.Facts(
        shape=facts.shape,
        levels=facts.levels,
        images=len(train),
        validation=len(dataset.splits["validation"]),
        mean=mean,
        std=std,
    )


def _leave_out_what_is_of_its_data(
    config: config_dict.ConfigDict, name: str, given: set[str]
) -> None:
    """Sets the fields of OF_ITS_DATA that are not `given`, and notes why."""
    for field, neutral in OF_ITS_DATA.items():
        section, _, leaf = field.partition(".")
        if field not in given and config.get(section, {}).get(leaf, neutral) != neutral:
            config[section][leaf] = neutral
            if "notes" in config:
                config.notes = (*config.notes, f"{field}: the config's own value is for {name}")
