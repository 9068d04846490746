"""Priors over latents of several sizes: the table of a sweep, with differences paired by image.

python -m benchmarks.latents SWEEP [--against=vdm] [--write=NAME]

SWEEP is the folder of `python -m launch.sweep --grid=prior=... --grid=latent=... --seeds=...`,
whose finished runs are read; nothing is computed. Differences are those of `--mode=compare`, within
one size of latents. --write puts the table called NAME into the docs.
"""

import pathlib
from collections.abc import Sequence

from benchmarks import command
from benchmarks.pages import DOCS, marks, write_table
from launch.table import COLUMNS, Result, grouped, read_all
from vdp.comparison import compare
from vdp.errors import Parser, UserError
from vdp.runtime import markdown
from vdp.runtime.numbers import with_error

PAGE = DOCS / "results.md"
KEYS = "prior", "latent"
SHOWN = "ELBO, nats", "IWAE, nats", "FID", "prior parameters", "training, s"


def ahead(folder: pathlib.Path, against: pathlib.Path) -> str:
    """Nats of ELBO that `against` lies above the runs of a folder; "" of itself, or not known."""
    if folder == against:
        return ""
    for found in compare([against, folder]).differences:
        if found.estimator == "elbo" and found.paired:
            return with_error(found.estimate.mean, found.estimate.se)
    return ""


def table(results: Sequence[Result], against: str) -> str:
    """The lines of every size of latents, priors by name.

    Raises:
      UserError: runs of another sweep; or none of them is finished.
    """
    finished = [result for result in results if result.status == "finished"]
    if not finished:
        raise UserError("no run of this sweep is finished")
    if any(set(result.point) != set(KEYS) for result in finished):
        raise UserError("the grid of this sweep is not prior=... and latent=...")
    groups = sorted(grouped(finished), key=lambda each: int(each[0]["latent"]))
    folders = {(p["latent"], p["prior"]): runs[0].folder.parent for p, runs in groups}
    columns = [c for c in COLUMNS if c.title in SHOWN and any(map(c.value, finished))]
    heads = ["latents", "prior", *(c.title for c in columns), f"`{against}` above it, paired"]
    lines = []
    for point, runs in groups:
        other = folders.get((point["latent"], against))
        lines.append([
            point["latent"], f"`{point['prior']}`", *(column.cell(runs) for column in columns),
            ahead(runs[0].folder.parent, other) if other else "",
        ])  # fmt: skip
    return "\n".join(markdown.table(heads, lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("sweep", type=pathlib.Path, metavar="SWEEP")
    parser.add_argument("--against", default="vdm")
    parser.add_argument("--write", metavar="NAME", default="")
    flags = parser.parse_args(argv)
    made = table(read_all(flags.sweep), flags.against)
    print(made)
    if flags.write:
        write_table(made, PAGE, marks(f"latents: {flags.write}"))
    return 0


if __name__ == "__main__":
    command.run(main)
