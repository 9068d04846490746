"""What a run has stored of its own, config.json: read once per command, written when it starts.

No jax here: a wrong flag is answered at once.
"""

import dataclasses
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from ml_collections import config_dict

from vdp import __version__
from vdp.errors import UserError
from vdp.runtime import files, sources
from vdp.settings import Data, Settings
from vdp.settings.parse import parse, to_config, to_json

RUN_FILE = "config.json"
RESULT = "eval.json"  # of the best checkpoint on the test split
SAMPLES, PLOTS = "samples", "plots"  # folders of pictures
PREVIEW = "step-"  # what a picture of samples while it trained is called, before the step
DAMAGED = (UserError, AttributeError, LookupError, TypeError, ValueError)  # reading such a file
DTYPES = ("float32", "bfloat16")  # of exported weights
ELSEWHERE = "copy the run to a place where it can, or open it in Python by vdp.load"
SIGNS = (RUN_FILE, RESULT, "metrics.jsonl")  # files that folders of runs hold
PATH_KINDS = ("npz", "mat", "folder")  # of `data.name`: KIND:PATH


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
class Weights:
    """Exported parameters, which an exported folder holds in place of checkpoints.

    Attributes:
      file: their name in the folder, in the format of safetensors.
      step: of the checkpoint they are of.
      dtype: of the parameters in the file, one of DTYPES; they are opened as float32.
      sha256: of the file, in hexadecimal digits.
    """

    file: str
    step: int
    dtype: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What config.json of a run holds.

    Attributes:
      settings: the run was trained with; fields that an older version did not have are defaults.
        A relative path of the data that leads nowhere from here is the absolute one it stood for.
      parameters: trainable numbers by role, and in total.
      data: facts of the data set (`vdp.data.core.Info` as a dict); None in runs of before 0.1.
      counts: of images in each split, as it was used; empty in runs of before 0.2.
      hashes: of the images of each split (`vdp.data.identity`); empty in runs of before 0.2.
      extensions: every growth of train.steps, in order.
      weights: of an exported folder; None for a run.
      versions: of Python and the libraries that the run was last started with, by name.
      git_revision: of the checkout then; None without one.
      command: that the run was last started by; None from Python, and in runs of before 0.2.
      hardware: that it was last trained on (`vdp.runtime.parallel.hardware`), likewise empty.
      workdir: where it was read.
    """

    settings: Settings
    parameters: Mapping[str, int]
    data: Mapping[str, Any] | None
    counts: Mapping[str, int]
    hashes: Mapping[str, str]
    extensions: Sequence[Extension]
    weights: Weights | None
    versions: Mapping[str, str]
    git_revision: str | None
    command: str | None
    hardware: Mapping[str, Any]
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
    way_out = "restore it from a copy, for nothing else says what run this is"
    content = files.read_json(path, RUN_FILE, way_out=way_out)
    try:
        return _record(content, path.parent)
    except DAMAGED as error:
        raise UserError(
            f"{path} is not the {RUN_FILE} of a run ({wrong_with(error)}): restore it, or name "
            "another workdir"
        ) from error


def wrong_with(error: BaseException) -> str:
    """What one of the errors in DAMAGED says of a file, in words."""
    return str(error) if isinstance(error, UserError) else "a part of it is missing or not valid"


def is_run(path: pathlib.Path) -> bool:
    """Whether a folder holds a file that runs hold, be it whole or damaged."""
    return any((path / name).is_file() for name in SIGNS)


def runs_below(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folders of runs at or below a folder, behind links too, each of them once.

    Folders inside a run are not runs.
    """
    seen: set[str] = set()
    for path, folders, _ in os.walk(root, followlinks=True):
        if (real := os.path.realpath(path)) in seen:  # as of a link to a folder around it
            folders.clear()
            continue
        seen.add(real)
        if is_run(pathlib.Path(path)):
            folders.clear()
            yield pathlib.Path(path)
        folders[:] = [name for name in folders if not name.startswith(".")]


def _record(content: Any, workdir: pathlib.Path) -> Record:
    """What a config.json holds; an error of whatever kind where it is none."""
    if not isinstance(content["config"]["model"]["name"], str):
        raise UserError("its model has no name")
    data = content.get("data")
    if data is not None:
        _check_facts(data)
    settings = parse(content["config"])
    found = _nearer(settings.data, content.get("places") or {})
    weights = content.get("weights")
    return Record(
        settings=settings.replace(data=found) if found else settings,
        parameters={role: int(n) for role, n in (content.get("parameters") or {}).items()},
        data=data,
        counts={split: int(n) for split, n in (content.get("counts") or {}).items()},
        hashes={split: str(text) for split, text in (content.get("hashes") or {}).items()},
        extensions=[
            Extension(int(entry["step"]), int(entry["train.steps"]))
            for entry in content.get("extensions") or ()
        ],
        weights=None if weights is None else Weights(**{**weights, "step": int(weights["step"])}),
        versions=dict(content.get("versions") or {}),
        git_revision=content.get("git_revision"),
        command=content.get("command"),
        hardware=dict(content.get("hardware") or {}),
        workdir=workdir,
    )


def _check_facts(data: Mapping[str, Any]) -> None:
    """Refuses what are no facts of a data set; an error of whatever kind."""
    numbers = (*data["shape"], data["levels"], data["num_classes"], *data["counts"].values())
    whole = all(type(number) is int and number >= 0 for number in numbers)
    names = [data["name"], *data.get("class_names", ())]
    if not whole or len(data["shape"]) != 3 or not all(isinstance(name, str) for name in names):
        raise UserError("it holds no facts of a data set")


def places(data: Data) -> dict[str, str]:
    """The absolute paths of the data that settings name relative to where the command is given.

    Returns:
      {"dir": ..., "name": ...} as `Data` has them, without those that are no paths; `dir` is
      $VDP_DATA/<name> where the settings leave it to that.
    """
    absolute = {}
    kind, _, path = (data.name or "").partition(":")
    root = os.environ.get("VDP_DATA")
    if data.dir or root:
        folder = data.dir or pathlib.Path(str(root)) / kind
        absolute["dir"] = str(files.located(folder).absolute())
    if kind in PATH_KINDS and path:
        file, mark, variable = path.partition("#") if kind == "mat" else (path, "", "")
        absolute["name"] = f"{kind}:{files.located(file).absolute()}{mark}{variable}"
    return absolute


def _nearer(data: Data, absolute: Mapping[str, str]) -> dict[str, str]:
    """The fields of `data` whose paths lead nowhere from here, while the absolute ones do."""
    here = places(data)

    def leads(field: str, text: str) -> bool:
        path = text.partition(":")[2] if field == "name" else text
        # os.path: what cannot be looked at, as in somebody's private folder, leads nowhere
        return any(os.path.exists(p) for p in (path, path.partition("#")[0]))

    return {
        field: str(path)
        for field, path in absolute.items()
        if leads(field, str(path)) and not (field in here and leads(field, here[field]))
    }


def write_run(
    workdir: pathlib.Path,
    settings: Settings,
    parameters: Mapping[str, int],
    data: Mapping[str, Any],
    *,
    hashes: Mapping[str, str],
    counts: Mapping[str, int] | None = None,
    extensions: Sequence[Extension] = (),
    hardware: Mapping[str, Any] | None = None,
) -> None:
    """Writes config.json (the settings, what the run is made of, and with which versions).

    The source files of components of one's own are copied beside it (`vdp.runtime.sources`).

    Args:
      workdir: of the run.
      settings: as it is trained from now on.
      parameters: trainable numbers by role, and in total.
      data: facts of the data set.
      hashes: of the images of each split.
      counts: of images in each split; None where no data was read.
      extensions: every growth of train.steps, in order.
      hardware: that it is trained on; None where it is not trained.
    """
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    versions = {name: metadata.version(name) for name in names}
    content = {
        "config": to_json(settings),
        "versions": {"vdp": __version__, "python": platform.python_version(), **versions},
        "git_revision": _git_revision(),
        "command": _command(),
        "hardware": hardware or {},
        "parameters": parameters,
        "data": data,
        "counts": counts or {},
        "hashes": hashes,
        "places": places(settings.data),
        "extensions": [{"step": e.step, "train.steps": e.steps_before} for e in extensions],
    }
    sources.keep(workdir, settings.model)
    files.write_json(workdir / RUN_FILE, content)


def write_eval(workdir: pathlib.Path, settings: Settings) -> None:
    """Writes `eval` of these settings into config.json, before eval.json is made by it."""
    content = files.read_json(workdir / RUN_FILE, RUN_FILE)
    content["config"]["eval"] = to_json(settings)["eval"]
    files.write_json(workdir / RUN_FILE, content)


def _git_revision() -> str | None:
    folder = pathlib.Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _command() -> str | None:
    """The command line of this process, as it can be typed again; None where it is not vdp's."""
    program = pathlib.Path(sys.argv[0]).resolve()
    is_module = program.parent == pathlib.Path(__file__).resolve().parent
    if not (is_module or program.name == "vdp"):
        return None
    return shlex.join(["python", "-m", "vdp.main", *sys.argv[1:]])
