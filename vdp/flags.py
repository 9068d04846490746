"""The flags of the command line: what there is, and reading them; no library is loaded for it."""

import argparse
import itertools
import re
from collections.abc import Sequence

from vdp import __version__
from vdp.errors import Parser, UserError, choose_from
from vdp.runtime import completion

Pairs = list[tuple[str, str]]  # [(key, text)]
MODES = {  # to the file of vdp.modes, whose `main(settings, workdir)` does it
    "train": "train",
    "eval": "evaluate",
    "sample": "sample",
    "encode": "encode",
    "export": "export",
    "compress": "compress",
    "decompress": "decompress",
    "report": "report",
    "describe": "describe",
    "check": "check",
    "compare": "compare",
}
OF_RUNS = ("compare", "report")  # modes of finished runs, without a config: `main(**options)`
OPTIONS = {  # flag: the modes it belongs to
    "parameters": ("describe",),
    "follow": ("eval",),
    "out": ("encode", "export", "compare"),
    "dtype": ("export",),
    "format": ("encode",),
    "splits": ("encode",),
    "latents": ("encode",),
    "runs": ("compare",),
}
EPILOG = """\
modes:
  train     train, or continue, the run in the workdir; ends with an evaluation on the test split
  eval      evaluate a checkpoint of the run in the workdir (needs no --config); with --follow, as
            a job beside the training, each new checkpoint
  sample    draw pictures from a checkpoint of the run in the workdir (needs no --config)
  encode    write the codes of images, q(z|x): codes-SPLIT.npz in the workdir, or --out=PATH,
            a folder or a file; --format=parquet for a table, --splits=train,test or all,
            --latents=NAME,NAME (needs no --config)
  export    write a checkpoint of the run in the workdir as a folder to be shared, --out=DIR:
            weights (--dtype=float32 or bfloat16), config, sources of your own, and a card
            (needs no --config)
  compress  write images as a file that the run's model decompresses without loss, of about the
            length of its bound: --config.codec.files=test (a split), a folder or an .npz, into
            --config.codec.out=NAME.vdp (needs no --config)
  decompress  bring them back: --config.codec.files=NAME.vdp into --config.codec.out=NAME.npz, or a
            folder for PNG files (needs no --config)
  report    write card.html and card.md of the run in the workdir; or, where that is a folder of
            runs (default: runs), index.html and index.md of them, and cards that are missing or old
  describe  print parameters, FLOPs, memory and data as a table and one JSON line; needs no data,
            and no --config where --workdir is a run's; --parameters lists every one of them,
            --config.describe.target=h100 compiles for a GPU or TPU that need not be there
  check     try the laws of a config's own components (priors, likelihoods, networks), or where it
            has none of its own, of all that it names; needs no data and no training, and about a
            minute where the components are small
  compare   lay the evaluations of finished runs side by side, --runs=A,B,...: differences paired by
            image, with errors over images and seeds; tables and a picture in --out=DIR (default:
            comparison/ beside the runs)

--help --config=NAME lists the variants and fields of one config.

examples:
  python -m vdp.main --config=digits_vae
  python -m vdp.main --config=mnist_vae:prior=normal --config.data.dir=DIR
  python -m vdp.main --config=digits_vae:smoke --config.train.steps=20 --workdir=runs/try
  python -m vdp.main --mode=eval --workdir=runs/digits_vae --config.eval.iwae_samples=500
  python -m vdp.main --mode=compare --runs=runs/digits_vae,runs/digits_vae-prior=normal
  python -m vdp.main --mode=report --workdir=runs

exit codes: 0 done; 2 something you can mend, said in one sentence; 1 a component or config of your
own failed, with its traceback; 143 stopped by SIGTERM, SIGHUP or Ctrl-C, saved; 130 by a second
Ctrl-C; 141 nobody reads what is written any more
"""


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Pairs]:
    """Returns (namespace of the flags, overrides [(field, text)]).

    Raises:
      UserError: a flag that there is not, or without its value.
      SystemExit: --help, --version or --completion, after it has been printed.
    """
    parser = Parser(
        prog="python -m vdp.main",
        description="Variational diffusion priors: train, evaluate and sample.",
        epilog=EPILOG,
    )
    parser.add_argument("--config", help="a config file or name, with an optional :VARIANT")
    parser.add_argument("--workdir", help="the run's folder; default runs/<config>[-<variant>]")
    parser.add_argument("--mode", default="train", help=f"one of {', '.join(MODES)}")
    parser.add_argument(
        "--multihost", action="store_true", help="join the other processes of this job"
    )
    parser.add_argument(
        "--parameters", action="store_true", help="with --mode=describe: a table of all of them"
    )
    parser.add_argument(
        "--follow", action="store_true", help="with --mode=eval: each new checkpoint of a training"
    )
    parser.add_argument(
        "--runs", help="with --mode=compare: folders of runs, A,B,...; seeds of one model: A+B,C"
    )
    parser.add_argument(
        "--out",
        help="with --mode=export: a folder, empty or not there; with compare: any folder; with "
        "encode: a folder, or a file that ends in .npz or .parquet",
    )
    parser.add_argument("--dtype", help="with --mode=export: of the weights; default float32")
    parser.add_argument("--format", help="with --mode=encode: npz or parquet; default npz")
    parser.add_argument(
        "--splits",
        help="with --mode=encode: some of train,validation,test, or all; default eval.split",
    )
    parser.add_argument("--latents", help="with --mode=encode: names, like u,z_3; default all")
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of every error, not a sentence"
    )
    parser.add_argument("--version", action="version", version=f"vdp {__version__}")
    parser.add_argument(
        "--completion", action="store_true", help="print what completes these flags in bash or zsh"
    )
    parser.add_argument("--config.FIELD", metavar="VALUE", help="override one field of the config")
    rest, given = split(argv, ("config",))
    if config := _helped(rest):
        from vdp import config_help

        print(config_help.text(config))
        raise SystemExit(0)
    if bare := [item for item in rest if item.startswith("config.") and "=" in item]:
        raise UserError(f"two dashes are missing: --{bare[0]}")
    flags = parser.parse_args(rest)
    if flags.completion:
        print(_completion(parser))
        raise SystemExit(0)
    for name, value in vars(flags).items():
        if value == "":  # as of a variable that is not set
            raise UserError(f"--{name} is empty: give it a value, or leave it out")
    if flags.mode not in MODES:
        raise choose_from("mode", flags.mode, MODES)
    for name, modes in OPTIONS.items():
        if getattr(flags, name) and flags.mode not in modes:
            raise UserError(f"--{name} belongs to --mode={' or --mode='.join(modes)}")
    if flags.mode == "export" and not flags.out:
        raise UserError("--mode=export needs --out=DIR, a folder that is empty or not there")
    if flags.mode == "compare" and flags.workdir:
        raise UserError("--mode=compare takes no --workdir: name finished runs by --runs=A,B,...")
    if flags.mode == "compare" and not flags.runs:
        raise UserError("--mode=compare needs --runs=A,B,...: folders of finished runs")
    if flags.mode in OF_RUNS and (flags.config or given["config"]):
        raise UserError(f"--mode={flags.mode} reads runs as they are: leave --config out")
    return flags, given["config"]


def split(argv: Sequence[str], kinds: Sequence[str]) -> tuple[list[str], dict[str, Pairs]]:
    """(other arguments, {kind: [(KEY, VALUE), ...]} of --KIND.KEY=VALUE and --KIND.KEY VALUE).

    Raises:
      UserError: a key without a value.
    """
    given: dict[str, Pairs] = {kind: [] for kind in kinds}
    rest, items = [], iter(argv)
    for item in items:
        match = re.match(rf"--({'|'.join(kinds)})\.([^=]+)(?:=(.*))?$", item, re.DOTALL)
        if match:
            kind, key, text = match.groups()
            text = next(items, None) if text is None else text
            if text is None:
                raise UserError(f"--{kind}.{key} needs a value")
            given[kind].append((key, text))
        else:
            rest.append(item)
    return rest, given


def _helped(argv: Sequence[str]) -> str:
    """The config whose variants and fields are asked for, by --help beside --config."""
    if not {"--help", "-h"} & set(argv):
        return ""
    following = dict(itertools.pairwise([*argv, ""]))
    given = [item.removeprefix("--config=") for item in argv if item.startswith("--config=")]
    return given[-1] if given else following.get("--config", "")


def _completion(parser: Parser) -> str:
    """The script for a shell, with all flags, modes and configs."""
    from vdp import config
    from vdp.record import DTYPES
    from vdp.settings import SPLITS

    taking = {
        name: action.nargs != 0 for action in parser._actions for name in action.option_strings
    }
    flags = [f"{name}=" if value else name for name, value in taking.items() if name[:2] == "--"]
    values = {
        "--mode": MODES,
        "--config": config.config_names(),
        "--dtype": DTYPES,
        "--format": ("npz", "parquet"),
        "--splits": (*SPLITS, "all"),
    }
    return completion.script(flags, values)
