"""The folder of a run: its lock, and files that are either whole or not there."""

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO, Any

from vdp.errors import Interrupted, UserError
from vdp.runtime import signals

LOCK = ".lock"
PARTIAL = ".partial-"  # what the name of a folder that is being filled begins with
POLL = 0.2  # s between two looks at a lock that is waited for


def located(path: str | pathlib.Path) -> pathlib.Path:
    """The path with `~` and `~NAME` replaced by home folders, as a shell does.

    Raises:
      UserError: there is no such person.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path} begins with a home folder that is not known: write it out, or ./{path} for a "
            "folder of that name"
        ) from error


def cache_folder() -> pathlib.Path:
    """What can be made again: programs, statistics and classifiers, in the user's cache.

    Raises:
      UserError: as of `located`.
    """
    return located(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "vdp"


def prepare(workdir: pathlib.Path, *, what: str = "workdir", mend: str = "") -> list[pathlib.Path]:
    """Creates the folder and proves that it can be written.

    Args:
      workdir: the folder.
      what: it is to the person.
      mend: what to do where it cannot; by default to name another one.

    Returns:
      The folders that were made for it, the innermost first.

    Raises:
      UserError: it cannot be, and what was made is removed again.
    """
    missing = [path for path in (workdir, *workdir.parents) if not os.path.lexists(path)]
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        _remove_empty(missing)
        reason = error.strerror
        if os.path.islink(workdir) and not os.path.exists(workdir):
            reason = "it is a link to nothing"
        elif os.path.exists(workdir) and not os.path.isdir(workdir):
            reason = "it is no folder"
        mend = mend or f"name another {what}"
        raise UserError(f"the {what} {workdir} cannot be written ({reason}): {mend}") from error
    return missing


def check_file(path: pathlib.Path) -> None:
    """Refuses a place for a file, before what goes into it is computed.

    Raises:
      UserError: a folder has its name, or the folder around it cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    _remove_empty(prepare(path.parent, what="folder"))


def check_ending(folder: pathlib.Path, known: Iterable[str]) -> None:
    """Refuses a name for a folder that looks like that of a file; UserError.

    Args:
      folder: that is made where it is not there.
      known: endings of files that could be written in its place.
    """
    if folder.suffix[1:].isalpha() and not folder.is_dir():
        raise UserError(
            f"{folder} looks like a file, and a folder or a file that ends in {' or '.join(known)} "
            "is written: name one, or make a folder of this name first"
        )


def check_empty(folder: pathlib.Path, *, otherwise: str) -> None:
    """Refuses a place for `filling`, before what goes into it is computed.

    Args:
      folder: that is empty or not there, but for what a `filling` that was killed has left.
      otherwise: what to name in its place, for the person.

    Raises:
      UserError: it is no folder, holds something, or cannot be written.
    """
    taken = os.path.lexists(folder) and not folder.is_dir()
    if taken or (folder.is_dir() and any(not _is_partial(path) for path in folder.iterdir())):
        raise UserError(f"{folder} is no empty folder: name another{otherwise}")
    _remove_empty(prepare(folder, what="folder"))


@contextlib.contextmanager
def filling(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary folder; what is in it goes to `folder` if the block succeeds.

    Else `folder` is as it was, or not there; as `check_empty` accepts it.
    """
    made = prepare(folder, what="folder")
    _remove([path for path in folder.iterdir() if _is_partial(path)])
    temporary = folder / f"{PARTIAL}{secrets.token_hex(4)}"
    try:
        temporary.mkdir()
        yield temporary
        for path in temporary.iterdir():
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)


def _is_partial(path: pathlib.Path) -> bool:
    return path.name.startswith(PARTIAL)


@contextlib.contextmanager
def opened(
    workdir: pathlib.Path, *, made: Collection[str], in_use: Callable[[], bool]
) -> Iterator[None]:
    """Creates, where needed, and locks the folder of a run for one command.

    A command that fails before it has made anything of use takes away what it has made, folders
    around the workdir included; what was there before stays, also under a name that it was moved
    to (`set_aside`), and what others have put there meanwhile.

    Args:
      workdir: the folder.
      made: names of what the command makes in it.
      in_use: whether what the command has made is to be kept although it has failed.

    Raises:
      UserError: the folder cannot be written, or another process has locked it.
    """
    folders = prepare(workdir)
    before = {path.name for path in workdir.iterdir()}
    with lock(workdir):
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # what has failed is what is said
                names = {LOCK, *(() if in_use() else made)} - before
                _remove([path for path in workdir.iterdir() if path.name in names])
                _remove_empty(folders)
            raise


def check_folder(path: pathlib.Path) -> None:
    """Refuses what stands where a run needs a folder and is none; UserError."""
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{path} is no folder: move it away, or name another workdir")


def check_name(path: pathlib.Path) -> None:
    """Refuses a place for checkpoints, the libraries of which read and write names in UTF-8 alone.

    Raises:
      UserError: the name of a folder around it is none.
    """
    try:
        os.fspath(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the name of {os.fsencode(path).decode(errors='replace')} is no UTF-8, and no "
            "checkpoint can be kept there: rename the folder, or name another workdir"
        ) from error


def _remove(paths: Iterable[pathlib.Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_empty(folders: Iterable[pathlib.Path]) -> None:
    """Removes folders, the innermost first, up to one that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if os.path.isdir(folder):
                folder.rmdir()


@contextlib.contextmanager
def lock(workdir: pathlib.Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other training processes off the folder until the block ends or the process dies.

    Raises:
      UserError: the folder is taken, and `wait` is not set.
      Interrupted: a signal came while it was waited for.
    """
    with open(workdir / LOCK, "w") as handle:
        while not _locked(handle):
            if not wait:
                raise UserError(
                    f"another process is training in {workdir}: wait for it, or name another "
                    "workdir"
                )
            if signals.reason():
                raise Interrupted(f"stopped by {signals.reason()}, waiting for {workdir}")
            time.sleep(POLL)
        yield


def in_use(workdir: pathlib.Path) -> bool:
    """Whether a process trains in the folder now."""
    try:
        with open(workdir / LOCK) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _locked(handle: IO[str]) -> bool:
    """Whether this process has the lock now."""
    for again in (True, False):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if again:  # who only looks (`in_use`) lets go at once
            time.sleep(POLL / 4)
    return False


def clear(workdir: pathlib.Path) -> None:
    """Removes all that a run wrote; for caches, by whoever holds the lock."""
    _remove(path for path in workdir.iterdir() if path.name != LOCK)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary name in the same folder, renamed to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # else a machine that fails leaves an empty file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text in UTF-8 by rename; bytes of file names that are no UTF-8 become "?"."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes one JSON document by rename."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: pathlib.Path, what: str, *, way_out: str = "restore or remove it") -> Any:
    """Reads one JSON document in UTF-8; UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} is not the workdir of a run: it has no {what}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what} at {path} cannot be read ({error}): {way_out}") from error


def set_aside(path: pathlib.Path) -> pathlib.Path:
    """Renames what cannot be used to NAME.bad, NAME.bad-2, ... and returns the new path."""
    names = (path.with_name(f"{path.name}.bad-{number}") for number in itertools.count(2))
    free = itertools.chain([path.with_name(f"{path.name}.bad")], names)
    return path.rename(next(name for name in free if not os.path.lexists(name)))
