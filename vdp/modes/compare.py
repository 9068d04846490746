"""`--mode=compare`: finished runs side by side, on the terminal and as files."""

import os
import pathlib

from vdp.comparison import compare, formats, tables, write
from vdp.comparison.runs import Arm
from vdp.runtime import files


def main(*, runs: str, out: str = "") -> None:
    """Prints the tables of a comparison, and writes it into a folder.

    Args:
      runs: folders of runs, with commas between them; seeds of one model may be joined by "+".
      out: the folder; "" is `comparison` beside the runs.

    Raises:
      UserError: anything the user can mend.
    """
    found = compare(_names(runs))
    folder = files.located(out) if out else _beside(found.arms)
    formats.show(tables.arms(found), write.caption(found))
    formats.show(tables.differences(found), "Differences")
    if found.differs:
        formats.show(tables.settings(found), "What was set differently")
    for note in found.notes:
        print(f"note: {note}")
    for path in write.write(found, folder):
        print(path)


def _names(runs: str) -> list[str]:
    """The names between commas, of which a name can have some itself, as those of a sweep have."""
    pieces, names = [piece.strip() for piece in runs.split(",")], []
    while pieces:
        joined = [",".join(pieces[:end]) for end in range(len(pieces), 0, -1)]
        there = (name for name in joined if name and _are_there(name))
        name = next(there, pieces[0])
        pieces = pieces[name.count(",") + 1 :]
        names += [name] if name else []
    return names


def _are_there(name: str) -> bool:
    """Whether a name leads somewhere, or each of several with "+" between them does."""
    parts = [name], name.split("+")
    return any(all(p and os.path.exists(files.located(p)) for p in names) for names in parts)


def _beside(arms: tuple[Arm, ...]) -> pathlib.Path:
    """The folder `comparison` in the folder that all runs have in common."""
    places = [run.path.parent.parent for arm in arms for run in arm.runs]
    common = pathlib.Path(os.path.commonpath(places))
    return ("." if common == common.parent else common) / pathlib.Path("comparison")
