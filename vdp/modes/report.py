"""`--mode=report`: the card of a run, or cards and an index of all runs below a folder."""

import pathlib

from vdp.cards import index, write
from vdp.errors import UserError
from vdp.record import is_run
from vdp.runtime import files


def main(*, workdir: str | pathlib.Path = "runs") -> None:
    """Writes card.html and card.md of a run, or index.html and index.md of runs; says where.

    Files alone are read: no model is built, and jax is not loaded.

    Args:
      workdir: of a run, or a folder that holds runs, at any depth.

    Raises:
      UserError: there is no run, or the one that is named is damaged.
    """
    workdir = files.located(workdir)
    if not workdir.is_dir():
        raise UserError(f"there is no folder {workdir}: name that of a run, or one of many runs")
    for path in write.card(workdir) if is_run(workdir) else index.write(workdir):
        print(path)
