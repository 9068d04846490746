"""Which pictures a folder holds, and what its sub-folders say: splits and classes."""

import logging
import pathlib
from collections import Counter
from collections.abc import Iterator

from vdp.data.core import SPLIT_NAMES
from vdp.errors import UserError

logger = logging.getLogger("vdp")
SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif",
}  # fmt: skip
UNREAD = {
    ".avif", ".cr2", ".dng", ".exr", ".heic", ".heif", ".jp2", ".nef", ".pbm", ".pgm",
    ".pnm", ".ppm", ".psd", ".svg", ".tga",
}  # fmt: skip
RESOURCES = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}  # in lower case


def splits(root: pathlib.Path) -> dict[str, list[tuple[pathlib.Path, str]]]:
    """{split: (picture, class) sorted by path} of a folder; class "" is none.

    A sub-folder with the name of a split (train, val, valid, validation, test, in any case) is one;
    without any, everything is "train". The folders below that are the classes. Hidden files and
    those that systems leave behind are no pictures; links are followed. How many pictures of kinds
    that are not read lie beside them is logged.

    Raises:
      UserError: no pictures, splits without "train" or beside something else, pictures beside the
        classes, links to nowhere.
    """
    try:
        files = sorted(_walk(root, frozenset()))
        tops = {entry.name for entry in root.iterdir() if entry.is_dir()}
    except OSError as error:
        raise UserError(f"folder {root} cannot be read: {error}") from error
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    unread = Counter(path.suffix.lower() for path in files if path.suffix.lower() in UNREAD)
    if pictures and unread:
        told = ", ".join(f"{count:,} {suffix}" for suffix, count in unread.most_common())
        logger.warning(f"folder {root}: pictures of other kinds are left out: {told}")
    if not pictures:
        suffixes = Counter(path.suffix.lower() or path.name for path in files).most_common(3)
        beside = f", but {', '.join(suffix for suffix, _ in suffixes)}" if suffixes else ""
        raise UserError(f"folder {root} holds no images ({', '.join(sorted(SUFFIXES))}){beside}")
    named = {top: SPLIT_NAMES[top.lower()] for top in sorted(tops) if top.lower() in SPLIT_NAMES}
    if not named:
        _refuse_splits_below_classes(root, pictures)
        return {"train": _with_classes(root, pictures)}
    if "train" not in named.values() or len(set(named.values())) < len(named):
        raise UserError(
            f"folder {root} has the splits {', '.join(named)}: one of them has to be train, and "
            "none may be there twice; rename what is a class"
        )
    others = sorted({path.relative_to(root).parts[0] for path in pictures} - named.keys())
    if others:
        raise UserError(
            f"folder {root} has the splits {', '.join(named)} and beside them images in "
            f"{', '.join(others[:3])}: move these into a split or elsewhere, or rename the split "
            "if it is a class"
        )
    return {
        split: _with_classes(root / top, [path for path in pictures if root / top in path.parents])
        for top, split in named.items()
    }


def _walk(folder: pathlib.Path, above: frozenset[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Files below `folder`; a link to one of the folders `above` it is where a loop ends."""
    real = folder.resolve()
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name.lower() in RESOURCES:
            continue
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.exists():
            yield entry
        else:
            raise UserError(f"{entry} is a link to nowhere: mend or remove it")


def _with_classes(
    folder: pathlib.Path, pictures: list[pathlib.Path]
) -> list[tuple[pathlib.Path, str]]:
    """(picture, class) of one split: every picture has a class, or none."""
    if not pictures:
        raise UserError(f"folder {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    parents = [path.parent.relative_to(folder).as_posix() for path in pictures]
    outside = [path for path, parent in zip(pictures, parents, strict=True) if parent == "."]
    if 0 < len(outside) < len(pictures):
        raise UserError(
            f"folder {folder} has classes and {len(outside)} images beside them, the first of them "
            f"{outside[0].name}: move these into a class or elsewhere"
        )
    return [
        (path, "" if outside else parent) for path, parent in zip(pictures, parents, strict=True)
    ]


def _refuse_splits_below_classes(root: pathlib.Path, pictures: list[pathlib.Path]) -> None:
    for path in pictures:
        parts = path.relative_to(root).parts[1:-1]
        names = [part for part in parts if part.lower() in SPLIT_NAMES]
        if names:
            raise UserError(
                f"folder {root} has {names[0]} below {path.relative_to(root).parts[0]}: name the "
                "folder that holds the splits, with the classes below them, or rename it if it is "
                "a class"
            )
