"""Whether a diffusion prior and its autoencoder can be trained together, and what collapses.

By the noise, by what is detached, and without the entropy of q in the loss.

python -m benchmarks.stability [--config=digits_vae] [--seeds=0,1,2] [--workdir=runs/stability]
    [--write] [--config.FIELD=VALUE ...]

Trains what is not kept yet, one run after the other, keeps its validations in
benchmarks/measured/stability, and prints the table of all that is kept of this config and these
fields; --write puts it and its picture into docs/stability.md. Every validation, with the entropy
in the loss or not, is of the whole bound.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.pages import DOCS, marks, write_table
from benchmarks.results import MEASURED, file_name
from vdp import main as commands
from vdp.errors import Parser, UserError
from vdp.pictures import style
from vdp.priors.diffusion import DiffusionPrior
from vdp.record import read_run
from vdp.runtime import files, markdown
from vdp.runtime.metric_log import METRICS_FILE, read_metrics
from vdp.runtime.numbers import mean_and_error, with_error
from vdp.types import Array, Terms

KEPT = MEASURED / "stability"
Groups = dict[tuple[str, str, bool], list[Mapping[str, Any]]]  # runs by the key of their cell
PAGE = DOCS / "stability.md"
MARKS = marks("stability")
EVERY = "--config.eval.every=100"
REMOVED = "benchmarks.stability.WithoutEntropy"
SERIES = {"elbo": 2, "rate_z": 2, "entropy": 2, "posterior_std": 3, "active_units": 2}  # digits


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithoutEntropy(DiffusionPrior):
    """A diffusion prior that is trained on its rate less H[q], on -log p(z) alone."""

    def rate(self, *args: Any, train: bool = False, **kwargs: Any) -> tuple[Array, Terms]:
        """As of a diffusion prior; where it trains, "entropy" is not among the parts."""
        z, terms = super().rate(*args, train=train, **kwargs)
        if not train:
            return z, terms
        return z, Terms.of(**{name: x for name, x in terms.parts.items() if name != "entropy"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to train.

    Attributes:
      name: in the table.
      with_entropy: whether H[q] is part of the loss.
      training: "joint" or "detached".
      variant: of the config.
      look: of its lines in the picture.
    """

    name: str
    with_entropy: bool
    training: str
    variant: str
    look: Mapping[str, Any]


LEARNED, FIXED = "schedule=learned_scalar", "schedule=linear"
WIDE = dict(linewidth=5, alpha=0.35)  # the learned schedule, so that the fixed one is seen on it
CELLS = [
    Cell(name=name, with_entropy=entropy, training=training, variant=variant,
         look=dict(color=color, linestyle="-" if training == "joint" else ":", **look))
    for name, entropy, training, variant, color, look in (
        ("learned", True, "joint", LEARNED, style.BLUE, WIDE),
        ("learned", True, "detached", LEARNED, style.BLUE, WIDE),
        ("fixed", True, "joint", FIXED, style.BLUE, {}),
        ("fixed", True, "detached", FIXED, style.BLUE, {}),
        ("learned, merged", True, "joint", "form=merged", style.DARK, {}),
        ("learned", False, "joint", LEARNED, style.ORANGE, WIDE),
        ("fixed", False, "joint", FIXED, style.ORANGE, {}),
    )
]  # fmt: skip


def trained(config: str, cell: Cell, seed: str, root: pathlib.Path, argv: Sequence[str]) -> None:
    """Trains one run that is not kept yet, and keeps its validations."""
    words = [
        cell.variant,
        f"training={cell.training}",
        *([] if cell.with_entropy else ["no entropy"]),
    ]
    workdir = root / file_name([config, *words, *argv, f"seed={seed}"])
    kept_in = KEPT / f"{workdir.name}.json"
    if kept_in.exists():
        return
    spec = f"{config}{',' if ':' in config else ':'}{cell.variant},training={cell.training}"
    given = [f"--config={spec}", f"--workdir={workdir}", f"--config.seed={seed}", EVERY, *argv]
    if not cell.with_entropy:
        given.append(f"--config.model.prior.name={REMOVED}")
    code = commands.run([*given, "--config.eval.estimators=elbo"])
    if code:
        raise UserError(f"the run in {workdir} has failed; its error is above")
    run = read_run(workdir)
    lines = [x for x in read_metrics(workdir / METRICS_FILE) if "eval/elbo" in x]
    kept = {
        "config": config,
        "changed": list(argv),
        "name": cell.name,
        "with_entropy": cell.with_entropy,
        "training": cell.training,
        "seed": run.settings.seed,
        "hardware": run.hardware,
        "steps": [line["step"] for line in lines],
    } | {name: [line.get(f"eval/{name}") for line in lines] for name in SERIES}
    files.write_json(kept_in, kept)


def all_kept(config: str, argv: Sequence[str]) -> Groups:
    """What is kept of every cell of a config with changed fields, over its seeds."""
    every = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    runs = [run for run in every if (run["config"], run["changed"]) == (config, list(argv))]
    key = lambda found: (found["name"], found["training"], found["with_entropy"])
    cells = [(cell.name, cell.training, cell.with_entropy) for cell in CELLS]
    groups = {cell: [run for run in runs if key(run) == cell] for cell in cells}
    return {cell: group for cell, group in groups.items() if group}


def table(groups: Groups) -> str:
    """The last validations of what is kept, in Markdown."""
    rows = []
    for (name, training, entropy), runs in groups.items():
        cells = [
            _estimate([run[series][-1] for run in runs], digits)
            for series, digits in SERIES.items()
        ]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        rows.append((name, training, "yes" if entropy else "no", seeds, *cells))
    heads = ("noise", "training", "H[q] in the loss", "seeds", "ELBO, nats", "rate, nats", "H[q]",
             "posterior std", "active units")  # fmt: skip
    return "\n".join(markdown.table(heads, rows))


def _estimate(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:  # the merged form has no entropy
        return "-"
    return with_error(*mean_and_error(known), f".{digits}f")


def draw(groups: Groups, path: pathlib.Path) -> None:
    """Writes the picture: bound and posterior deviation after the start, the mean over seeds."""
    figure = style.figure(9.0, 3.6)
    shown = {"elbo": "bound, nats", "posterior_std": "mean deviation of q(z|x)"}
    looks = {(cell.name, cell.training, cell.with_entropy): cell.look for cell in CELLS}
    for place, (series, words) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(1, len(shown), place)
        style.dress(axes)
        for (name, training, entropy), runs in groups.items():
            means = [statistics.fmean(at) for at in zip(*(r[series] for r in runs), strict=True)]
            label = f"{name}, {training}" + ("" if entropy else ", without H[q]")
            look = looks[name, training, entropy]
            axes.plot(runs[0]["steps"][1:], means[1:], label=label, **look)
        axes.set_xlabel("step")
        axes.set_ylabel(words)
    axes.legend(frameon=False, fontsize=7)
    style.save(figure, path)


def main() -> int:
    """Trains what is missing, and prints the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", default="digits_vae")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/stability"))
    parser.add_argument("--write", action="store_true")
    flags, passed_on = parser.parse_known_args()
    for seed in filter(None, flags.seeds.split(",")):
        for cell in CELLS:
            trained(flags.config, cell, seed, flags.workdir, passed_on)
    groups = all_kept(flags.config, passed_on)
    print(table(groups))
    if flags.write:
        draw(groups, DOCS / "img" / "stability.png")
        write_table(table(groups), PAGE, MARKS)
    return 0


if __name__ == "__main__":
    command.run(main)
