"""What sweeps and searches share: their flags, the command of a point, how the program ends."""

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from vdp.errors import STOPPED, Fault, UserError
from vdp.flags import Pairs
from vdp.runtime import terminal
from vdp.settings import epochs


def keyed(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """{KEY: what follows "="} of a repeated flag, where the key of a field begins with `config.`.

    Args:
      flag: its name, for errors.
      texts: KEY=REST each.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, _, rest = text.partition("=")
        if "." in key:
            key = "config." + key.removeprefix("config.")
        if key in found:
            raise UserError(f"{flag} names {key} twice: list all its values in one")
        found[key] = rest
    return found


def split_values(text: str) -> list[str]:
    """Values with commas between them; commas in brackets or in a quoted value are of the value."""
    values, depth, quote = [""], 0, ""
    for character in text:
        if character == "," and not quote and depth <= 0:
            values.append("")
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (depth > 0 or not values[-1].strip()):
            quote = character
        depth += 0 if quote else (character in "([{") - (character in ")]}")
        values[-1] += character
    return [value.strip() for value in values]


def check_overrides(flag: str, keys: Sequence[str], overrides: Pairs) -> None:
    """Refuses a field that is chosen twice: by the flag and an override, or as epochs and steps.

    Raises:
      UserError: as it says; of a length in steps and one in epochs the second would decide.
    """
    given = {f"config.{field}" for field, _ in overrides}
    for key in given.intersection(keys):
        raise UserError(f"{key} is given by {flag} and as --{key}: use one of them")
    for key in keys:
        other = f"config.{epochs.beside(key.removeprefix('config.'))}"
        if other in given or other in keys:
            raise UserError(f"{key}, of {flag}, and {other} set the same length: use one of them")


def arguments(config: str, chosen: Mapping[str, str], overrides: Pairs) -> tuple[str, Pairs]:
    """(--config of a point, [(field, text), ...] of it and of the overrides).

    Args:
      config: NAME or NAME:VARIANT.
      chosen: values as text, by keys of the variant and by `config.FIELD`.
      overrides: of all points.
    """
    name, _, base = config.partition(":")
    items = [f"{k}={v}" for k, v in chosen.items() if not k.startswith("config.")]
    variant = ",".join([*items, *filter(None, [base])])
    fields = [(k[7:], v) for k, v in chosen.items() if k.startswith("config.")] + overrides
    return f"{name}:{variant}" if variant else name, fields


def say(text: str) -> None:
    """One line for the person."""
    print(text, file=sys.stderr, flush=True)


Dispatch = Callable[[list[str], list[str]], int]


def program(dispatch: Dispatch) -> Callable[..., int]:
    """A command line, (argv, command of a training) -> exit code, that ends in a sentence.

    Args:
      dispatch: (argv, command) -> exit code; may raise UserError and OSError, and print its help.
    """

    def run(argv: list[str], command: list[str] | None = None) -> int:
        """Runs the command line; never raises for what a user can mend.

        Args:
          argv: the arguments.
          command: what trains one run, in place of `python -m vdp.main`.
        """
        try:
            return dispatch(argv, command or [sys.executable, "-m", "vdp.main"])
        except UserError as error:
            say(f"error: {error}")
            return 2
        except Fault as fault:  # of a config or a component of the user's own
            say(f"error: {fault}")
            traceback.print_exception(fault.__cause__ or fault)
            return 1
        except BrokenPipeError:
            return terminal.close()
        except OSError as error:
            say(f"error: a file could not be written or read: {error}")
            return 2
        except SystemExit as stop:  # argparse's --help
            return int(stop.code or 0)
        except KeyboardInterrupt:
            say("stopped; the same command continues")
            return STOPPED

    return run
