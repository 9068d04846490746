"""Finding, reading, overriding and comparing configs; no jax here."""

import ast
import hashlib
import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import config_dict

from vdp import workdir as files
from vdp.errors import UserError, choose_from, did_you_mean

RUN_FILE = "config.json"
PLACES = ("dir", "download", "verify", "placement")  # of `data`: no image depends on them
SPLITTING = ("split_seed", "num_validation")  # of `data`: another value moves images to test
FREE_ON_RESUME = ("data.dir", "data.download", "data.verify", "eval", "sample", "log", "checkpoint")
FREE_ON_EVALUATION = (  # the fields of `model` say how it is estimated, not what it is
    "data", "eval", "sample", "log", "checkpoint", "train.steps", "train.seconds",
    "model.dequantization", "model.prior.num_times", "model.prior.num_strata",
    "model.prior.sequential", "model.prior.ode_steps", "model.prior.ode_probes",
)  # fmt: skip


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
      UserError: no such config or variant, or the file fails; the message names the cause.
    """
    name, _, variant = argument.partition(":")
    path = find(name)
    if path.suffix != ".py":
        raise UserError(f"config {path} is not a Python file")
    spec = importlib.util.spec_from_file_location(f"_vdp_config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(variant)
    except UserError:
        raise
    except Exception as error:  # a config is a program of the user's
        raise UserError(f"config {path} fails: {type(error).__name__}: {error}") from error
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
                elsewhere = [f for f in flatten(to_json(config)) if f.endswith(f".{leaf}")]
                raise choose_from("config field", field, known, near=elsewhere)
            parent, node = node, node[key]
        if isinstance(node, config_dict.ConfigDict):
            raise choose_from("config field", field, [f"{field}.{key}" for key in node])
        parent[leaf] = _parse(field, text, parent.get_type(leaf))


def _parse(field: str, text: str, kind: type):
    if kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "false", "1", "0"):
            return text.lower() in ("true", "1")
        raise UserError(f"config.{field} is True or False, not {text!r}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # bare words
        value = text
        if kind is tuple:
            value = tuple(part.strip() for part in text.strip("()[]").split(",") if part.strip())
    if kind is tuple and not isinstance(value, tuple):
        value = tuple(value) if isinstance(value, list) else (value,)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"config.{field} needs a value of type {kind.__name__}, not {text!r}")
    return value


def to_json(config: config_dict.ConfigDict) -> dict:
    """Plain nested dicts; unset placeholders become null, tuples lists."""
    return json.loads(json.dumps(config.to_dict(), default=list))


def from_json(content: Mapping) -> config_dict.ConfigDict:
    """The inverse of `to_json`: lists become tuples, null an unset string."""

    def convert(value):
        if isinstance(value, Mapping):
            return {key: convert(item) for key, item in value.items()}
        if isinstance(value, list):
            return tuple(convert(item) for item in value)
        return config_dict.placeholder(str) if value is None else value

    return config_dict.ConfigDict(convert(content), convert_dict=True)


def read_run(workdir) -> config_dict.ConfigDict:
    """The config the run in `workdir` was trained with."""
    return from_json(read_run_file(workdir)["config"])


def read_run_file(workdir) -> dict:
    """What config.json holds: "config", "versions", "parameters", "data", ..."""
    path = pathlib.Path(workdir) / RUN_FILE
    content = files.read_json(path, RUN_FILE)
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise UserError(f"{path} is not the {RUN_FILE} of a run")
    return content


def flatten(config: Mapping, prefix: str = "") -> dict:
    """{"data.name": ...} of nested dicts."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_resumable(stored: Mapping, current: Mapping) -> None:
    """Compares the config of a run with the one it is continued with, both as `to_json` gives.

    Raises:
      UserError: fields differ that may not; `train.steps` and `train.seconds` (0 is no limit) may
        grow, and FREE_ON_RESUME may change.
    """
    changed = differences(stored, current, free=FREE_ON_RESUME)
    for field in ("train.steps", "train.seconds"):
        before, after = changed.get(field, (0, -1))
        if after is not None and (after >= (before or 0) > 0 or after == 0):
            changed.pop(field, None)
    _refuse(changed)


def check_same_run(stored: config_dict.ConfigDict, current: config_dict.ConfigDict) -> None:
    """Refuses to evaluate a run as another model, or on a test split that was trained on.

    Raises:
      UserError: fields outside FREE_ON_EVALUATION differ.
    """
    changed = differences(to_json(stored), to_json(current), free=FREE_ON_EVALUATION)
    changed |= differences(to_json(stored.data), to_json(current.data), only=SPLITTING)
    _refuse(changed)


def differences(stored: Mapping, current: Mapping, *, free=(), only=()) -> dict[str, tuple]:
    """{field: (before, after)} of two configs as `to_json` gives, without the `free` ones."""
    old, new = flatten(stored), flatten(current)
    under = lambda field, names: any(field == n or field.startswith(f"{n}.") for n in names)
    return {
        field: (old.get(field), new.get(field))
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
        and not under(field, free)
        and (not only or under(field, only))
    }


def changed_from_run(workdir, config: config_dict.ConfigDict, *, only) -> dict[str, tuple]:
    """`differences` of the run in `workdir` and now in the sections `only`, wherever data lies."""
    places = [f"data.{field}" for field in PLACES]
    return differences(to_json(read_run(workdir)), to_json(config), only=only, free=places)


def other_name(changed: Mapping[str, tuple]) -> str:
    """The name other-1a2b3c for what `differences` found: one name for one set of settings."""
    text = json.dumps({field: after for field, (_, after) in changed.items()}, sort_keys=True)
    return f"other-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _refuse(changed: Mapping[str, tuple]) -> None:
    if changed:
        listed = "; ".join(f"{k} (was {old!r}, now {new!r})" for k, (old, new) in changed.items())
        raise UserError(
            f"this workdir holds a run with another config: {listed}; use the same values, or "
            "another --workdir"
        )
