"""The runs that are compared: folders, evaluations, and which of them are seeds of one model."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdp.errors import UserError, did_you_mean
from vdp.evaluation import index, naming, values
from vdp.record import RESULT, RUN_FILE, Record, read_run, runs_below
from vdp.runtime import files, sources
from vdp.settings import compare
from vdp.settings.parse import to_json

NOT_THE_MODEL = (  # settings in which seeds of one model may differ
    "seed", "data.split_seed", *(s for s in compare.NO_TRAINING if s != "sample"),
    "sample.num", "sample.seed", "sample.checkpoint", *compare.EPOCHS, *compare.OF_TRAIN,
    *(f"data.{place}" for place in compare.PLACES),
)  # fmt: skip
ROUNDING = 1e-4  # of a mean of float32 values, relative


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One run with one evaluation of it.

    Attributes:
      path: of the evaluation.
      record: what the run has stored of itself.
      result: what the evaluation holds.
      values: what every image got; None where it is not kept.
    """

    path: pathlib.Path
    record: Record
    result: Mapping[str, Any]
    values: values.Values | None

    @property
    def settings(self) -> dict[str, Any]:
        """Every field by its dotted name, with what the evaluation changed of `data`."""
        changes = {k: v for k, v in self.result["settings"].items() if k.startswith("data.")}
        return compare.flatten(to_json(self.record.settings)) | changes

    @property
    def estimates(self) -> dict[str, Mapping[str, Any]]:
        """The entries of one checkpoint and as many images by their estimator, and of its score."""
        earlier = self.result.get("earlier") or {}
        there = {name: e for name, e in earlier.items() if "nats" in e and self._beside(e)}
        there |= {name: entry for name, entry in self.result["estimators"].items() if entry}
        if score := self.result.get("score"):
            there["score"] = score
        return there

    def _beside(self, earlier: Mapping[str, Any]) -> bool:
        """Whether an estimate of before is of the checkpoint and the images of this result."""
        now = self.result
        return all(earlier.get(name, now[name]) == now[name] for name in ("step", "num_examples"))

    def each(self, name: str) -> np.ndarray | None:
        """An estimate of every image [N], where it is kept and the result is its mean."""
        if self.values is None or name not in self.values:
            return None
        array, entry = self.values[name].astype(np.float64), self.estimates[name]
        mean = entry.get("nats", entry)["mean"]
        same = abs(array.mean() - mean) <= ROUNDING * max(abs(mean), 1.0)
        return array if same else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """Runs of one model that differ by their seed alone: what is compared with other arms."""

    label: str
    runs: tuple[Evaluated, ...]


def arms(names: Sequence[str | os.PathLike]) -> list[Arm]:
    """Reads runs and groups the seeds of one model.

    Args:
      names: each the folder of a run, the file of one of its evaluations, a folder of such runs, or
        several of these with "+" between them, which are then one arm.

    Raises:
      UserError: a name leads nowhere, or to what was not evaluated.
    """
    groups: list[list[Evaluated]] = []
    seen: set[pathlib.Path] = set()
    for name in map(str, names):
        together = _split(name)
        opened = {run.path: run for part in together for run in _open_all(part)}
        given = [run for path, run in opened.items() if path not in seen]
        seen |= opened.keys()
        if len(together) > 1 and not given:
            raise UserError(f"{name} names no run that was not named before it: leave it out")
        if len(together) > 1:
            groups.append(given)
            continue
        for run in given:
            same = next((g for g in groups if g and _is_a_seed(run, g)), None)
            if same is None:
                groups.append([run])
            else:
                same.append(run)
    return [
        Arm(label=label, runs=tuple(group))
        for label, group in zip(_labels(groups), groups, strict=True)
    ]


def _split(name: str) -> list[str]:
    return [name] if os.path.exists(files.located(name)) else name.split("+")


def _open_all(name: str) -> list[Evaluated]:
    path = files.located(name)
    path = pathlib.Path(os.path.abspath(path))  # one for a run, whatever it is called by
    if path.is_file():
        return [_open(path)]
    if (path / RUN_FILE).is_file():
        return [_open(path / RESULT)]
    below = sorted(run / RESULT for run in runs_below(path))
    if found := [_open(result) for result in below if result.is_file()]:
        return found
    if below:
        raise UserError(f"no run below {name} has an {RESULT}: they are not finished")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    there = [p.name for p in beside if p != path]
    hint = did_you_mean(path.name, there)
    raise UserError(f"{name} is no run, and no folder of runs{hint}")


def _open(path: pathlib.Path) -> Evaluated:
    if not path.is_file():
        raise UserError(
            f"{path.parent} has no {path.name}: finish its training, or evaluate it by "
            f"--mode=eval --workdir={path.parent}"
        )
    record = read_run(path.parent)
    result = index.read(path)
    if result is None:
        raise UserError(f"{path} is no result of an evaluation: evaluate the run again")
    result = {"settings": {}, **result}
    return Evaluated(path=path, record=record, result=result, values=values.read(path))


def _is_a_seed(run: Evaluated, group: Sequence[Evaluated]) -> bool:
    """Whether a run is one more seed of a group's model: the same seed again tells nothing new."""
    seeds = {other.record.settings.seed for other in group}
    return _same_model(group[0], run) and run.record.settings.seed not in seeds


def _same_model(a: Evaluated, b: Evaluated) -> bool:
    """Whether two runs are seeds of one model, evaluated in the same way."""
    about = [
        (
            r.result["checkpoint"],
            r.result["split"],
            _question(r),
            sources.fingerprint(r.path.parent),
            r.record.extensions,
        )
        for r in (a, b)
    ]
    stored = [to_json(run.record.settings) for run in (a, b)]
    return about[0] == about[1] and not compare.differences(*stored, free=NOT_THE_MODEL)


def _question(run: Evaluated) -> dict[str, Any]:
    """What decides an evaluation's numbers beside checkpoint and split."""
    asked = {f: v for f, v in run.result["settings"].items() if naming.decides(f)}
    own = to_json(run.record.settings)["eval"]
    chain = {f"eval.{field}": own[field] for field in ("reverse", "num_steps")}
    return chain | asked


def _labels(groups: Sequence[Sequence[Evaluated]]) -> list[str]:
    """Short names of arms, each another: of their folders, without what tells their seeds apart."""
    labels = [_label(group, 1) for group in groups]
    for depth in (2, 3):
        twice = {label for label in labels if labels.count(label) > 1}
        labels = [
            _label(group, depth) if label in twice else label
            for group, label in zip(groups, labels, strict=True)
        ]
    return [
        label if labels.count(label) == 1 else f"{label} ({place})"
        for place, label in enumerate(labels, 1)
    ]


def _label(group: Sequence[Evaluated], depth: int) -> str:
    names = list(dict.fromkeys(_name(run, depth) for run in group))
    common = os.path.commonprefix(names)  # noqa: RUF071 (of names, not of paths)
    shared = re.sub(r"[-_=.+ /]*(seed)?[-_=.+ /]*$", "", common) if len(names) > 1 else common
    return shared or names[0]


def _name(run: Evaluated, depth: int) -> str:
    parts = run.path.parent.parts
    if re.fullmatch(r"seed[-_=]?\d+", parts[-1]):
        parts = parts[:-1]
    name = "/".join(parts[-depth:])
    return name if run.path.name == RESULT else f"{name}/{run.path.stem}"
