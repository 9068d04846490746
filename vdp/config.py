"""Finding and running config files, overriding their fields, and what a run has stored of its own.

No jax here: a wrong flag is answered at once.
"""

import ast
import contextlib
import dataclasses
import importlib.util
import pathlib
import platform
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from ml_collections import config_dict

from vdp import __version__
from vdp.errors import UNEXPECTED, Fault, UserError, choose_from, did_you_mean, first_line, shown
from vdp.runtime import files
from vdp.settings import Settings, compare
from vdp.settings.parse import parse, to_config, to_json

RUN_FILE = "config.json"


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
    texts = {name: ast.get_docstring(ast.parse(files[name].read_text())) for name in config_names()}
    return {name: (text or "").partition("\n")[0] for name, text in texts.items()}


def find(name: str) -> pathlib.Path:
    """The file meant by a path or a name."""
    path = pathlib.Path(name).expanduser()
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
    """Runs `get_config` of FILE[:VARIANT] or NAME[:VARIANT].

    Raises:
      UserError: no such config or variant.
      Fault: the file itself fails.
    """
    name, _, variant = argument.partition(":")
    path = find(name)
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
        config = module.get_config(variant)
    except UserError:
        raise
    except UNEXPECTED as error:  # a config is a program of the user's
        what = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"the config file {path} fails: {what}") from error
    if not isinstance(config, config_dict.ConfigDict):
        raise UserError(f"config {path}: get_config must return an ml_collections ConfigDict")
    return config


def default_workdir(argument: str) -> pathlib.Path:
    """runs/<config>[-<variant>]."""
    name, _, variant = argument.partition(":")
    stem = pathlib.Path(name).name.removesuffix(".py")
    return pathlib.Path("runs") / (f"{stem}-{variant.replace('/', '_')}" if variant else stem)


def override(config: config_dict.ConfigDict, overrides: Sequence[tuple[str, str]]) -> None:
    """Applies `--config.FIELD=VALUE` in order, each value read as the type the field has.

    Raises:
      UserError: an unknown field (the message lists its siblings) or a value of another type.
    """
    for field, text in overrides:
        *parents, leaf = field.split(".")
        node = config
        for depth, key in enumerate([*parents, leaf]):
            if not isinstance(node, config_dict.ConfigDict) or key not in node:
                siblings = node.keys() if isinstance(node, config_dict.ConfigDict) else ()
                known = [".".join([*field.split(".")[:depth], name]) for name in siblings]
                elsewhere = [f for f in compare.flatten(config.to_dict()) if f.endswith(f".{leaf}")]
                raise choose_from("config field", field, known, near=elsewhere)
            parent, node = node, node[key]
        if isinstance(node, config_dict.ConfigDict):
            raise choose_from("config field", field, [f"{field}.{key}" for key in node])
        value = _parse(field, text, parent.get_type(leaf))
        try:
            parent[leaf] = value
        except Exception as error:  # of ml_collections: of another type inside, or not to be set
            reason = first_line(error)
            raise UserError(f"config.{field} cannot be {shown(text)}: {reason}") from error


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
            value = tuple(part.strip() for part in text.strip("()[]").split(",") if part.strip())
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


def settings(argument: str, overrides: Sequence[tuple[str, str]] = ()) -> Settings:
    """The settings of `--config=ARGUMENT --config.FIELD=TEXT ...`; errors as of its parts."""
    config = load(argument)
    override(config, overrides)
    return parse(config)


@dataclasses.dataclass(frozen=True)
class Extension:
    """That a run was given more steps: its schedule of learning rates is another one from there.

    Attributes:
      step: where it went on.
      steps_before: what train.steps was until then.
    """

    step: int
    steps_before: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What config.json of a run holds.

    Attributes:
      settings: the run was trained with; fields that an older version did not have are defaults.
      parameters: trainable numbers by role, and in total.
      data: facts of the data set (`vdp.data.core.Info` as a dict); None in runs of before 0.1.
      hashes: of the images of each split (`vdp.data.identity`); empty in runs of before 0.2.
      extensions: every growth of train.steps, in order.
      workdir: where it was read.
    """

    settings: Settings
    parameters: Mapping[str, int]
    data: Mapping[str, Any] | None
    hashes: Mapping[str, str]
    extensions: Sequence[Extension]
    workdir: pathlib.Path

    @property
    def config(self) -> config_dict.ConfigDict:
        """The settings as a ConfigDict, to be overridden."""
        return to_config(self.settings)


def read_run(workdir: str | pathlib.Path) -> Record:
    """Reads config.json of a run.

    Raises:
      UserError: the folder holds none, or one that cannot be read.
    """
    path = files.located(workdir) / RUN_FILE
    content = files.read_json(path, RUN_FILE)
    try:
        return _record(content, path.parent)
    except (UserError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = error if isinstance(error, UserError) else "a part of it is missing or another"
        raise UserError(
            f"{path} is not the {RUN_FILE} of a run ({reason}): restore it, or name another "
            "--workdir"
        ) from error


def _record(content: Any, workdir: pathlib.Path) -> Record:
    """What a config.json holds; an error of whatever kind where it is none."""
    if not isinstance(content["config"]["model"]["name"], str):
        raise UserError("its model has no name")
    data = content.get("data")
    if data is not None:
        _check_facts(data)
    return Record(
        settings=parse(content["config"]),
        parameters={role: int(n) for role, n in (content.get("parameters") or {}).items()},
        data=data,
        hashes={split: str(text) for split, text in (content.get("hashes") or {}).items()},
        extensions=[
            Extension(int(entry["step"]), int(entry["train.steps"]))
            for entry in content.get("extensions") or ()
        ],
        workdir=workdir,
    )


def _check_facts(data: Mapping[str, Any]) -> None:
    """Refuses what are no facts of a data set; an error of whatever kind."""
    numbers = (*data["shape"], data["levels"], data["num_classes"], *data["counts"].values())
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if not whole or len(data["shape"]) != 3 or not isinstance(data["name"], str):
        raise UserError("it holds no facts of a data set")


def write_run(
    workdir: pathlib.Path,
    settings: Settings,
    parameters: Mapping[str, int],
    data: Mapping[str, Any],
    *,
    hashes: Mapping[str, str],
    extensions: Sequence[Extension] = (),
) -> None:
    """Writes config.json: the settings, what the run is made of, and with which versions.

    Args:
      workdir: of the run.
      settings: as it is trained from now on.
      parameters: trainable numbers by role, and in total.
      data: facts of the data set.
      hashes: of the images of each split.
      extensions: every growth of train.steps, in order.
    """
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    versions = {name: metadata.version(name) for name in names}
    content = {
        "config": to_json(settings),
        "versions": {"vdp": __version__, "python": platform.python_version(), **versions},
        "git_revision": _git_revision(),
        "parameters": parameters,
        "data": data,
        "hashes": hashes,
        "extensions": [{"step": e.step, "train.steps": e.steps_before} for e in extensions],
    }
    files.write_json(workdir / RUN_FILE, content)


def _git_revision() -> str | None:
    folder = pathlib.Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
