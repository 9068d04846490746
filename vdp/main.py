"""Command line: `python -m vdp.main --config=FILE_OR_NAME[:VARIANT] [--config.FIELD=VALUE ...]`."""

import json
import os
import pathlib
import signal
import sys
import traceback

from vdp.errors import STOPPED, Interrupted, Parser, UserError, choose_from

NEEDED = ("jax", "flax", "optax", "orbax", "ml_collections", "chex", "clu", "numpy")
MODES = ("train", "eval", "sample", "describe")
EPILOG = """\
modes:
  train     train, or continue, the run in the workdir; ends with an evaluation on the test split
  eval      evaluate a checkpoint of the run in the workdir (needs no --config)
  sample    draw pictures from a checkpoint of the run in the workdir (needs no --config)
  describe  print parameters, FLOPs, memory and data as a table and one JSON line; needs no data,
            and no --config where --workdir is a run's

examples:
  python -m vdp.main --config=digits_vae
  python -m vdp.main --config=mnist_vae:prior=normal --config.data.dir=DIR
  python -m vdp.main --config=digits_vae:smoke --config.train.steps=20 --workdir=runs/try
  python -m vdp.main --mode=eval --workdir=runs/digits_vae --config.eval.iwae_samples=500

exit codes: 0 done; 2 something you can mend, said in one sentence; 143 stopped by SIGTERM
or Ctrl-C, saved; 130 by a second Ctrl-C
"""


def parse(argv: list[str]):
    """Returns (namespace with config, workdir, mode, multihost; overrides [(field, text)])."""
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
    parser.add_argument("--config.FIELD", metavar="VALUE", help="override one field of the config")
    overrides, rest = [], []
    items = iter(argv)
    for item in items:
        if item.startswith("--config."):
            field, equals, text = item.removeprefix("--config.").partition("=")
            if not equals:
                text = next(items, None)
                if text is None:
                    raise UserError(f"--config.{field} needs a value")
            overrides.append((field, text))
        else:
            rest.append(item)
    flags = parser.parse_args(rest)
    if flags.mode not in MODES:
        raise choose_from("mode", flags.mode, MODES)
    return flags, overrides


def _prepare_environment(config) -> None:
    """What has to be set before jax starts."""
    if config.train.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _config(flags, overrides):
    from vdp import config as configs

    of_a_run = flags.mode != "train"
    if not flags.config and not (of_a_run and flags.workdir):
        hint = " or --workdir" if of_a_run else ""
        listed = configs.summaries()
        for name, line in listed.items():
            print(f"{name:{max(map(len, listed))}}  {line}", file=sys.stderr)
        example = "python -m vdp.main --config=digits_vae"
        raise UserError(
            f"--config{hint} is missing: a file or one of these names, as in {example}; see --help"
        )
    workdir = pathlib.Path(flags.workdir or configs.default_workdir(flags.config))
    config = configs.load(flags.config) if flags.config else configs.read_run(workdir)
    configs.override(config, overrides)
    if flags.mode in ("eval", "sample"):
        configs.check_same_run(configs.read_run(workdir), config)
    return config, workdir


def _dispatch(flags, overrides) -> None:
    config, workdir = _config(flags, overrides)
    _prepare_environment(config)
    from vdp import compile_cache, parallel

    compile_cache.enable()
    parallel.initialize(flags.multihost)
    if flags.mode == "describe":
        from vdp.describe import describe, table

        found = describe(config)
        print(table(found))
        print(json.dumps(found), flush=True)
    elif flags.mode == "train":
        from vdp.train import train

        train(config, workdir)
    elif flags.mode == "eval":
        from vdp.evaluate import run_mode

        run_mode(config, workdir)
    else:
        from vdp.sample import run_mode

        run_mode(config, workdir)


def run(argv: list[str]) -> int:
    """Runs the command line and returns the exit code; never raises for what a user can mend."""
    try:
        _dispatch(*parse(argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        print(
            f"error: {error.name} is not installed for {sys.executable}: call the python that vdp "
            "was installed into, or activate its environment (. .venv/bin/activate)",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:  # `| head` has read enough; nothing more is said at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(
            f"error: a file could not be written or read:{where} ({error.strerror or error}); mend "
            "that and run the same command again, saved checkpoints are intact",
            file=sys.stderr,
        )
        return 2
    except SystemExit as stop:  # argparse's --help
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    except Interrupted as error:
        print(error, file=sys.stderr)
        return STOPPED
    return 0


def _program(argv: list[str]) -> None:
    try:
        code = run(argv)
    except Exception:
        traceback.print_exc()
        code = 1
    if "vdp.parallel" in sys.modules:  # not where the flags were wrong
        sys.modules["vdp.parallel"].leave(code)
    sys.exit(code)


if __name__ == "__main__":
    _program(sys.argv[1:])
