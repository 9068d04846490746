"""The folder of a run: its lock, and files that are either whole or not there."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from vdp.errors import UserError

LOCK = ".lock"


def prepare(workdir: pathlib.Path) -> None:
    """Creates the folder and proves that it can be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise UserError(
            f"the workdir {workdir} cannot be written ({error.strerror}): name another --workdir"
        ) from error


@contextlib.contextmanager
def lock(workdir: pathlib.Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other training processes off the folder until the block ends or the process dies.

    Raises:
      UserError: the folder is taken, and `wait` is not set.
    """
    with open(workdir / LOCK, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {workdir}: wait for it, or name another --workdir"
            ) from error
        yield


def leave_nothing(workdir: pathlib.Path) -> None:
    """Removes the folder of a run that wrote nothing, by whoever holds the lock."""
    if [path.name for path in workdir.iterdir()] == [LOCK]:
        shutil.rmtree(workdir)


def clear(workdir: pathlib.Path) -> None:
    """Removes all that a run wrote; for caches, by whoever holds the lock."""
    for path in workdir.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary name in the same folder, renamed to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes one JSON document by rename."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: pathlib.Path, what: str) -> Any:
    """Reads one JSON document; UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} is not the workdir of a run: it has no {what}") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{what} at {path} cannot be read ({error}): restore or remove it"
        ) from error
