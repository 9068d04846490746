"""Weights & Biases as a sink, where log.wandb asks for it: one W&B run for one run's folder.

The package is imported nowhere else, and only when it is asked for. It follows its own environment
variables: WANDB_PROJECT (default "vdp"), WANDB_ENTITY, WANDB_API_KEY, ...
"""

import math
import os
import pathlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.errors import UserError, first_line
from vdp.runtime import files

ID_FILE = "wandb.json"  # {"id", "folder"} in the run's folder
FOLDER = "wandb"  # made by the package
PROJECT = "vdp"
BINS = 64  # of a distribution


def _package() -> Any:
    """The package; UserError where it is not installed."""
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "config.log.wandb needs the package wandb: pip install wandb (or vdp's extra of that "
            "name), or leave config.log.wandb=off"
        ) from error
    return wandb


def check(mode: str) -> None:
    """Refuses what could not log before anything is trained.

    Args:
      mode: "off", "offline" or "online".

    Raises:
      UserError: the package is missing.
    """
    if mode != "off":
        _package()


def asked(
    workdir: pathlib.Path,
    mode: str,
    config: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
) -> "list[WandB]":
    """The sink, as of `WandB`, where the mode is not "off"; of the one process that writes."""
    return [] if mode == "off" else [WandB(workdir, mode, config, say)]


class WandB:
    """Sends scalars with their steps, pictures, distributions and the config.

    The run's id lies in wandb.json, so that a run that goes on is the same one there: steps that it
    trains again, as after a kill, are there already and are not taken twice. A copy of a folder
    that is still there becomes a run of its own.

    Args:
      workdir: of the run.
      mode: "offline" (into the folder wandb, for `wandb sync`) or "online".
      config: the run's settings as nested dicts.
      say: hears when the package fails later on; training goes on without it.

    Raises:
      UserError: the package is missing, or cannot start, as without a login.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        mode: str,
        config: Mapping[str, Any],
        say: Callable[[str], None],
    ):
        self._wandb, self._say, self._lost = _package(), say, False
        try:
            self._run = self._wandb.init(
                id=_run_id(workdir),
                resume="allow",
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                name=workdir.resolve().name,
                dir=str(workdir),
                mode=mode,
                config=dict(config),
                allow_val_change=True,  # as of train.steps, which may grow
                # vdp writes to the terminal itself; code and uncommitted changes are not sent
                settings=self._wandb.Settings(
                    console="off", silent=True, save_code=False, disable_git=True
                ),
            )
        except Exception as error:  # no closed list: of a login, a network, a service
            raise UserError(
                f"Weights & Biases cannot start ({type(error).__name__}: {first_line(error)}): log "
                "in by `wandb login`, or choose config.log.wandb=offline or off"
            ) from error

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers that are finite, at their step."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._try(lambda: self._run.log(finite, step=step))

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "n"]) -> None:
        """A distribution at its step."""
        counts = np.histogram(values, bins=BINS)
        shown = lambda: {name: self._wandb.Histogram(np_histogram=counts)}
        self._try(lambda: self._run.log(shown(), step=step))

    def picture(self, step: int, name: str, path: pathlib.Path) -> None:
        """A picture at its step."""
        shown = lambda: {name: self._wandb.Image(str(path))}
        self._try(lambda: self._run.log(shown(), step=step))

    def close(self) -> None:
        """Sends what is left."""
        self._try(self._run.finish)

    def _try(self, send: Callable[[], None]) -> None:
        """Sends, until something fails: no training ends because it is watched."""
        if self._lost:
            return
        try:
            send()
        except Exception as error:  # no closed list: the package's service, a disk, a network
            self._lost = True
            self._say(
                f"logging to Weights & Biases has failed ({type(error).__name__}: "
                f"{first_line(error)}); metrics.jsonl goes on"
            )


def _run_id(workdir: pathlib.Path) -> str:
    """The id that the folder keeps; a new one where it keeps none, or is a copy of another's."""
    here = str(workdir.resolve())
    known, folder = _kept(workdir)
    if known and (folder in ("", here) or _kept(pathlib.Path(folder))[0] != known):
        chosen = known  # of this folder, maybe moved since then
    else:
        chosen = secrets.token_hex(8)
    if (chosen, here) != (known, folder):
        files.write_json(workdir / ID_FILE, {"id": chosen, "folder": here})
    return chosen


def _kept(workdir: pathlib.Path) -> tuple[str, str]:
    """The id that a folder keeps and the folder it was made for; "" of what is not there."""
    try:
        found = files.read_json(workdir / ID_FILE, ID_FILE)
        known, folder = found["id"], found.get("folder", "")
    except (UserError, LookupError, TypeError, AttributeError):
        return "", ""
    return (known, str(folder)) if isinstance(known, str) and known.isalnum() else ("", "")
