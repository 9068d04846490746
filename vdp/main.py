"""Command line: `python -m vdp.main --config=FILE_OR_NAME[:VARIANT] [--config.FIELD=VALUE ...]`."""

import argparse
import contextlib
import importlib
import os
import pathlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from vdp.errors import STOPPED, UNEXPECTED, Fault, Interrupted, UserError, first_line, with_flags
from vdp.flags import MODES, OF_RUNS, OPTIONS, Pairs, parse
from vdp.runtime import files, signals, sources, terminal, xla_options
from vdp.settings import Settings

NUMBERS = {  # of jax: with others a run would go on to other numbers than it began with
    "jax_enable_x64": False,
    "jax_threefry_partitionable": True,
    "jax_default_prng_impl": "threefry2x32",
}
WITHOUT_RUN = ("describe", "check")  # modes that a config is enough for
NEEDED = (
    "jax", "flax", "optax", "orbax", "ml_collections", "chex", "clu", "numpy", "safetensors",
    "jinja2",
)  # fmt: skip


def _prepare_environment(settings: Settings, mode: str) -> None:
    """What has to be set before jax starts."""
    if mode == "describe" and settings.describe.target:  # this machine's devices are not used
        os.environ["JAX_PLATFORMS"] = "cpu"
        if "jax" in sys.modules:  # where a config has looked at images
            sys.modules["jax"].config.update("jax_platforms", "cpu")
    for name, value in NUMBERS.items():
        variable, text = name.upper(), str(value).lower()
        given = os.environ.get(variable, text).lower()
        if {"0": "false", "1": "true"}.get(given, given) != text:
            why = "with it a run would go on to other numbers than it began with"
            print(f"{variable}={given} is not followed: {why}", file=sys.stderr)
        os.environ[variable] = text
        if "jax" in sys.modules:
            sys.modules["jax"].config.update(name, value)
    asked = [name for name, value in vars(settings.train).items() if value is True]
    if flags := xla_options.flags(asked, os.environ.get("XLA_FLAGS", "").split()):
        os.environ["XLA_FLAGS"] = " ".join(flags)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _list_configs() -> None:
    """What there is, for whoever starts the program to see."""
    from vdp import config

    listed = config.summaries()
    for name, line in listed.items():
        print(f"{name:{max(map(len, listed))}}  {line}")
    print("\nchoose one: python -m vdp.main --config=digits_vae; --help says more, --help "
          "--config=NAME what can be changed in it")  # fmt: skip


def _settings(flags: argparse.Namespace, overrides: Pairs) -> tuple[Settings, pathlib.Path]:
    """(the settings, checked; the workdir)."""
    from vdp import config
    from vdp.record import read_run
    from vdp.settings.parse import parse as checked

    of_a_run = flags.mode != "train"
    if not flags.config and not (of_a_run and flags.workdir):
        example = f"python -m vdp.main --mode={flags.mode}"
        if flags.mode in WITHOUT_RUN:
            raise UserError(
                f"--config or --workdir is missing, as in {example} --config=digits_vae: the file "
                "or name of a config, or a run's folder; python -m vdp.main alone lists the names"
            )
        if of_a_run:
            raise UserError(
                f"--workdir is missing, the folder of a run, as in {example} --workdir=RUN"
            )
        raise UserError(
            "--config is missing, a file or a name, as in python -m vdp.main --config=digits_vae; "
            "python -m vdp.main alone lists the names"
        )
    workdir = pathlib.Path(flags.workdir or config.default_workdir(flags.config))
    if flags.config:
        return config.settings(flags.config, overrides), workdir
    given = read_run(workdir).config
    config.override(given, overrides)
    return checked(given), workdir


def _dispatch(flags: argparse.Namespace, overrides: Pairs) -> None:
    options = {name: value for name in OPTIONS if (value := getattr(flags, name))}
    alone = not (flags.config or flags.workdir or flags.multihost or overrides)
    if flags.mode == "train" and alone:
        _list_configs()
    elif flags.mode in OF_RUNS:
        of_runs = {"workdir": flags.workdir} if flags.workdir else {}
        importlib.import_module(f"vdp.modes.{MODES[flags.mode]}").main(**of_runs, **options)
    else:
        _dispatch_run(flags, overrides, options)
    if sys.stdout is not None:  # as under >&-
        sys.stdout.flush()


def _dispatch_run(flags: argparse.Namespace, overrides: Pairs, options: Mapping[str, Any]) -> None:
    settings, workdir = _settings(flags, overrides)
    _prepare_environment(settings, flags.mode)
    from vdp.runtime import compile_cache, interruption, parallel

    with compile_cache.enabled(), _components(settings, workdir):
        parallel.initialize(flags.multihost)
        mode = importlib.import_module(f"vdp.modes.{MODES[flags.mode]}")
        interruption.check("; nothing had been started")
        try:
            mode.main(settings, workdir, **options)
        except (UserError, Fault, Interrupted):
            raise
        except UNEXPECTED as error:
            raise _explained(error, settings, flags.mode) from error


def _components(settings: Settings, workdir: pathlib.Path) -> contextlib.AbstractContextManager:
    """Where a run was moved away from its own components, the copies in its folder are found."""
    from vdp.record import RUN_FILE

    folder = files.located(workdir)
    is_run = (folder / RUN_FILE).is_file()
    return sources.available(folder, settings.model) if is_run else contextlib.nullcontext()


def _explained(error: BaseException, settings: Settings, mode: str) -> BaseException:
    """What an error of a mode is to the person: of a component of theirs, or of memory; or itself.

    KeyboardInterrupt is a component's own as well, unless it was Ctrl-C.
    """
    from vdp import build
    from vdp.runtime import parallel

    what = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, KeyboardInterrupt) and signals.reason() == "Ctrl-C":
        return error
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in what:
        parts = ""
        if mode == "train":
            parts = (
                "set config.data.placement=host where the images are many, raise "
                "config.train.microbatches, or "
            )
        return UserError(
            f"there is not enough memory ({what}): {parts}lower config.train.batch_size and "
            "config.eval.batch_size, or the sizes of the model"
        )
    if where := build.blame(error, settings.model):
        return Fault(f"{where} fails: {what}")
    if parallel.is_alone(error):
        return Fault(
            "another process of this run seems to have ended, and has said why if it could: start "
            f"them all again, and the run goes on from its last checkpoint ({what})"
        )
    if isinstance(error, SystemExit):  # of what no frame tells, as a function that was passed on
        return Fault(f"something that the config names ends the program: {what}")
    return error


def run(argv: Sequence[str]) -> int:
    """Runs the command line and returns the exit code.

    Only a UserError, or a file that cannot be written or read, is shortened to a sentence; with
    --debug its traceback is shown too. What fails in a component or a config of the user's keeps
    its traceback, after a sentence that names it. Other errors are vdp's own, and are raised.
    """
    release = signals.listen()
    try:
        return _run(argv)
    finally:
        release()


def _run(argv: Sequence[str]) -> int:
    try:
        try:
            flags, overrides = parse(argv)
        except SystemExit as stop:  # --help and the like
            return int(stop.code or 0)
        _dispatch(flags, overrides)
    except UserError as error:
        return _refused(str(error), argv)
    except Fault as fault:
        print(f"error: {fault}\n", file=sys.stderr)
        cause = fault.__cause__ or fault
        traceback.print_exception(cause)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        return _refused(
            f"{error.name} is not installed for {sys.executable}: call the python that vdp was "
            "installed into, or activate its environment (. .venv/bin/activate)",
            argv,
        )
    except BrokenPipeError:  # `| head` has read enough
        return terminal.close()
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _refused(
            f"a file could not be written or read:{where} ({error.strerror or error}); mend that "
            "and run the same command again, saved checkpoints are intact",
            argv,
        )
    except KeyboardInterrupt:  # a second Ctrl-C
        print(signals.SECOND, end="", file=sys.stderr)
        return signals.KILLED
    except Interrupted as error:
        print(error, file=sys.stderr)
        return STOPPED
    return 0


def _refused(sentence: str, argv: Sequence[str]) -> int:
    """Says what can be mended, inside an `except`; the traceback goes before it with --debug."""
    if "--debug" in argv:
        traceback.print_exc()
    print(f"error: {with_flags(sentence)}", file=sys.stderr)
    return 2


def console() -> NoReturn:
    """Runs `vdp` and `python -m vdp`: modules are found in the current folder, as by `-m`."""
    with contextlib.suppress(OSError):  # of a folder that is gone
        here = os.getcwd()
        if not sys.flags.safe_path and here not in sys.path:
            sys.path.insert(0, here)
    _program(sys.argv[1:])


def _program(argv: Sequence[str]) -> NoReturn:
    terminal.prepare()
    signals.listen(watched=True)  # to the last: what comes at exit finds the work done
    try:
        code = run(argv)
    except Exception:
        traceback.print_exc()
        code = 1
    if "vdp.runtime.parallel" in sys.modules:  # not where the flags were wrong
        sys.modules["vdp.runtime.parallel"].leave(code)
    sys.exit(code)


if __name__ == "__main__":
    console()
