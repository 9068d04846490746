"""Where the data of a run is now, by what somebody calls it."""

import pathlib

from vdp.errors import UserError
from vdp.record import PATH_KINDS
from vdp.runtime import files
from vdp.settings import Data


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
        return {"name": f"folder:{path}"} if kind in PATH_KINDS else {"dir": str(path)}
    if path.is_file():
        kinds = {".npz": "npz", ".mat": "mat"}
        if path.suffix not in kinds:
            raise UserError(f"{given} is neither a folder of images nor an .npz or .mat archive")
        return {"name": f"{kinds[path.suffix]}:{path}"}
    if ":" not in given and pathlib.Path(given).name != given:
        raise UserError(f"there is no data at {given}: name an existing file or folder")
    return {"name": given}
