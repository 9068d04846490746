"""Writes the folder that a run is shared as; `vdp.load` opens it as it opens a run."""

import dataclasses
import itertools
import json
import pathlib
import re
import shutil
from collections.abc import Iterable
from typing import Any

from vdp import record
from vdp.errors import UserError
from vdp.export import card
from vdp.record import RESULT, RUN_FILE, Record
from vdp.run import Run, calibration, weights
from vdp.runtime import files, npz, sources
from vdp.settings import Settings
from vdp.settings.parse import to_json
from vdp.types import Model

CARD = "README.md"


def check(out: pathlib.Path, dtype: str) -> None:
    """Refuses a folder that holds something or cannot be written, and an unknown type of numbers.

    Raises:
      UserError: one of these.
    """
    files.check_empty(out, otherwise=" --out")
    if dtype not in record.DTYPES:
        raise UserError(f"--dtype is {' or '.join(record.DTYPES)}, not {dtype}")


# of a path in a text what comes before its last part; quotes and commas end it
PATH = re.compile(rf'\b({"|".join((*record.PATH_KINDS, "classifier", "inception"))}):[^",]*/')


def write(
    run: Run[Model],
    stored: Record,
    out: pathlib.Path,
    *,
    dtype: str,
    chain: calibration.Table | None = None,
    digest: str | None = None,
) -> list[pathlib.Path]:
    """Writes weights, config.json, sources of one's own, the evaluation and the card; all or none.

    Paths of this machine are left out of all of them: of a path its last part stays, of two other
    data sets of one name with a number.

    Args:
      run: the checkpoint to export.
      stored: what the run has stored of itself.
      out: a folder, empty or not there.
      dtype: of the weights, "float32" or "bfloat16".
      chain: the table that its chain is fitted to, of `calibration.kept`.
      digest: of the parameters, `vdp.training.fingerprint.digest`: an evaluation of others of the
        same step is left out. None: the step is all that is known.

    Returns:
      The files.
    """
    with files.filling(out) as folder:
        _write(run, stored, folder, dtype, chain, digest)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _write(
    run: Run[Model],
    stored: Record,
    out: pathlib.Path,
    dtype: str,
    chain: calibration.Table | None,
    digest: str | None,
) -> None:
    content = files.read_json(stored.workdir / RUN_FILE, RUN_FILE)
    content["config"] = to_json(without_paths(stored.settings))
    for name in ("places", "command"):
        content.pop(name, None)
    if (stored.workdir / sources.FOLDER).is_dir():
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(stored.workdir / sources.FOLDER, out / sources.FOLDER, ignore=ignored)
    else:  # a run of a version that kept none
        sources.keep(out, stored.settings.model)
    result = _evaluation(run, stored, digest)
    if result is not None:
        files.write_json(out / RESULT, result)
    stats = calibration.as_trained(run.stats)
    written = weights.write(out, run.params, stats, step=run.step, dtype=dtype)
    if chain:
        path = calibration.path_of(out, run.step)
        path.parent.mkdir()
        npz.write(path, chain)
    files.write_json(out / RUN_FILE, content | {"weights": dataclasses.asdict(written)})
    files.write_text(out / CARD, card.text(run, stored, written, result))


def without_paths(settings: Settings) -> Settings:
    """The settings with the last part of every path of a machine alone."""
    data = settings.data
    features, colon, argument = settings.eval.fid_features.partition(":")
    first = settings.train.init_from

    return settings.replace(
        data=dict(name=_nameless(data.name) if data.name else data.name, dir=None),
        train=dict(init_from=first and _last(first)),
        eval=dict(
            fid_features=f"{features}{colon}{_last(argument)}",
            ood=tuple(_told_apart(map(_nameless, settings.eval.ood))),
        ),
    )


def _last(path: str) -> str:
    """The last part of a path, also of one like "."; "" of none."""
    return pathlib.Path(path).resolve().name if path else path


def _nameless(images: str) -> str:
    """The name of a data set, of whose path the last part alone stays."""
    kind, colon, path = images.partition(":")
    return f"{kind}:{_last(path)}" if kind in record.PATH_KINDS and colon else images


def _told_apart(names: Iterable[str]) -> list[str]:
    """Names, of which those that were there before get a number."""
    kept: list[str] = []
    for name in names:
        numbers = (f"{name}-{number}" for number in itertools.count(2))
        kept.append(next(each for each in itertools.chain([name], numbers) if each not in kept))
    return kept


def _evaluation(
    run: Run[Model], stored: Record, digest: str | None = None
) -> dict[str, Any] | None:
    """What eval.json holds of this checkpoint; None where there is none of it."""
    path, private = stored.workdir / RESULT, stored.settings
    if not path.is_file():
        return None
    result = files.read_json(path, path.name)
    if not isinstance(result, dict) or result.get("step") != run.step:
        return None
    if digest is not None and result.get("weights", digest) != digest:
        return None
    public, text = without_paths(private), json.dumps(result)
    names = {private.data.name or "": public.data.name or ""}
    names |= dict(zip(private.eval.ood, public.eval.ood, strict=True))
    for name in sorted(names, key=len, reverse=True):  # as one may begin with another
        if names[name] != name:
            text = text.replace(json.dumps(name)[1:-1], json.dumps(names[name])[1:-1])
    return json.loads(PATH.sub(r"\1:", text))
