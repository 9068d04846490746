"""The persistent compile cache: on by default, and rid of entries that cannot be read.

Cache files are not written atomically, so a kill can leave half an entry; jax then reports it and
compiles again at every start until it is deleted.
"""

import contextlib
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from vdp.errors import UserError
from vdp.runtime import files

UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '([^']+)'")


@contextlib.contextmanager
def enabled() -> Iterator[None]:
    """Uses $JAX_COMPILATION_CACHE_DIR, else a folder in the user's cache; silent if read-only.

    For the process of a command: jax keeps the settings; warnings are shown as before afterwards.
    """
    _configure()
    shown = warnings.showwarning
    warnings.showwarning = _deleting(shown)
    try:
        yield
    finally:
        warnings.showwarning = shown


def _configure() -> None:
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        try:
            folder = files.cache_folder() / "xla"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, UserError):  # it cannot be written, or there is no home
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES" not in os.environ:
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _deleting(show: Callable[..., None]) -> Callable[..., None]:
    def showwarning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        match = UNREADABLE.search(str(message))
        if match is None:
            show(message, *args, **kwargs)
        else:
            _delete(match.group(1))

    return showwarning


def _delete(module_name: str) -> None:
    """Deletes the entries of one program; they are written anew by the compilation that follows."""
    # its type does not list the options, which are defined while jax is imported
    folder = pathlib.Path(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    for entry in folder.glob(f"{module_name}-*"):
        entry.unlink(missing_ok=True)
