"""Priors over latents of several sizes: the table of a sweep, with differences paired by image.

python -m benchmarks.latents SWEEP [--against=vdm] [--write=NAME]

SWEEP is the folder of `python -m launch.sweep --grid=prior=... --grid=latent=... --seeds=...`,
whose finished runs are read; nothing is computed. Differences are those of `--mode=compare`, within
one size of latents. --write puts the table called NAME into the docs.
"""

import argparse
import pathlib
from collections.abc import Sequence

from benchmarks import command
from benchmarks.pages import write_table
from benchmarks.results import estimate
from launch.table import Result, distinct, grouped, mean_and_error, read_all
from vdp.comparison import compare
from vdp.errors import UserError
from vdp.runtime import markdown

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "results.md"
KEYS = "prior", "latent"


def mean(results: Sequence[Result], path: str, digits: int) -> str:
    """The mean of a number over seeds ± its standard error; "" where a seed has none."""
    values = [value for result in results if (value := result.get(path)) is not None]
    if len(values) < len(results):
        return ""
    middle, error = mean_and_error(values)
    return f"{middle:,.{digits}f}" + ("" if error is None else f" ± {error:,.{digits}f}")


def ahead(folder: pathlib.Path, against: pathlib.Path, estimator: str) -> str:
    """How far `against` lies above the runs of a folder, paired; "" of itself, or not known."""
    if folder == against:
        return ""
    for found in compare([against, folder]).differences:
        if found.estimator == estimator and found.paired:
            return f"{found.estimate.mean:.2f} ± {found.estimate.se:.2f}"
    return ""


def table(results: Sequence[Result], against: str) -> str:
    """The lines of every size of latents, priors in the order of the sweep.

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
    has_iwae = all(result.get("estimators.iwae") for result in finished)
    heads = ["latents", "prior", "ELBO, nats", *["IWAE, nats"] * has_iwae]
    heads += [f"`{against}` above it, ELBO, paired", "FID", "prior parameters", "training, s"]
    lines = []
    for point, runs in groups:
        other = folders.get((point["latent"], against))
        seeds = [{"result": run.values} for run in runs]
        lines.append([
            point["latent"], f"`{point['prior']}`", estimate(seeds, "elbo"),
            *[estimate(seeds, "iwae")] * has_iwae,
            ahead(runs[0].folder.parent, other, "elbo") if other else "",
            mean(runs, "fid.value", 2), distinct(run.get("parameters.prior") for run in runs),
            mean(runs, "train_seconds", 0),
        ])  # fmt: skip
    return "\n".join(markdown.table(heads, lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("sweep", type=pathlib.Path, metavar="SWEEP")
    parser.add_argument("--against", default="vdm")
    parser.add_argument("--write", metavar="NAME", default="")
    flags = parser.parse_args(argv)
    made = table(read_all(flags.sweep), flags.against)
    print(made)
    if flags.write:
        marks = f"<!-- latents: {flags.write} -->", f"<!-- end of latents: {flags.write} -->"
        write_table(made, PAGE, marks)
    return 0


if __name__ == "__main__":
    command.run(main)
