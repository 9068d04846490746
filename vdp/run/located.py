"""Where the data of a run is now, by what somebody calls it."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from vdp.errors import UserError, choose_from
from vdp.record import PATH_KINDS
from vdp.runtime import files
from vdp.settings import Data

WITHOUT_FILES = ("digits", "synthetic")  # sources that look for none


def fields(data: Data, given: str | pathlib.Path | Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `data` that somebody gives, as a path, a name or themselves.

    Args:
      data: of the run.
      given: a path or a name as of `named`, or fields by their names, {"name": ..., "resize": ...};
        their `name` may be a path too.

    Raises:
      UserError: a field that there is not, and as of `named`.
    """
    if not isinstance(given, Mapping):
        return named(data, str(given))
    known = [field.name for field in dataclasses.fields(Data)]
    for field in given:
        if field not in known:
            raise choose_from("data field", field, known)
    others = {field: value for field, value in given.items() if field != "name"}
    return others | (named(data, str(given["name"])) if given.get("name") is not None else {})


def named(data: Data, given: str) -> dict[str, str]:
    """The fields of `data` that a path or a name stands for.

    Args:
      data: of the run. Where its name is that of a source with published files, as `mnist`, a
        folder is where these lie; else a file or a folder holds the images themselves.
      given: a path, or a `config.data.name` as `npz:PATH`, `digits` or `synthetic:8x8x1`.

    Raises:
      UserError: a file that is no archive of images.
    """
    path = files.located(given)
    kind = (data.name or "").partition(":")[0]
    if path.is_dir():
        holds_images = kind in (*PATH_KINDS, *WITHOUT_FILES)
        return {"name": f"folder:{path}"} if holds_images else {"dir": str(path)}
    if path.is_file():
        kinds = {".npz": "npz", ".mat": "mat"}
        if path.suffix.lower() not in kinds:
            raise UserError(f"{given} is neither a folder of images nor an .npz or .mat archive")
        mark, which = (data.name or "").partition("#")[1:] if kind == "mat" else ("", "")
        same = kinds[path.suffix.lower()] == "mat"  # the variable, and the order of its images
        return {"name": f"{kinds[path.suffix.lower()]}:{path}{mark + which if same else ''}"}
    if ":" not in given and pathlib.Path(given).name != given:
        raise UserError(f"there is no data at {given}: name an existing file or folder")
    return {"name": given}
