"""Files of arrays, .npz, that are either whole or of no use: what has been computed once."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vdp.runtime import files


def write(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays, or numbers, by name; the file is there when it is complete."""
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """The arrays of an .npz file by name; {} where it is absent, None where it is damaged."""
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return {}
    except Exception:  # numpy, zipfile and zlib raise all kinds of what was cut or overwritten
        return None
