"""Who may read a compressed file: only a program that computes the same numbers to the last bit."""

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata

import jax
import numpy as np

from vdp.codec import stack
from vdp.errors import UserError
from vdp.types import Params, Stats

LIBRARIES = ("jax", "jaxlib", "numpy", "constriction")
NAMED = {
    "chain": "chain of its diffusion prior",
    "weights": "run or checkpoint",
    "machine": "kind of machine",
    "versions": "set of versions",
    "numbers": "arithmetic than that of this machine",
}
MENDED = {  # what to do where a part of the fingerprint differs
    "chain": "decompress with the config.eval.num_steps that wrote it, and with "
    "config.eval.reverse=fixed where it names no other chain; a fitted one needs the calibration/ "
    "of the run that wrote it",
    "weights": "decompress with the run, and the checkpoint, that wrote it",
    "machine": "decompress on such a machine",
    "versions": "install those versions in an environment of their own",
    "numbers": "decompress on the machine that wrote it, with as many cores and the same XLA_FLAGS",
}


def digest(*parts: bytes) -> str:
    """16 hexadecimal digits of a hash."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def of_weights(params: Params, stats: Stats, about: str) -> str:
    """A hash of all parameters, of statistics, and of what they are parameters of.

    Args:
      params: of the model.
      stats: of the model.
      about: the model's settings, as a text.
    """
    parts = [about.encode()]
    for path, leaf in jax.tree_util.tree_leaves_with_path((params, stats)):
        array = np.asarray(leaf)
        name = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}"
        parts += [name.encode(), np.ascontiguousarray(array).tobytes()]
    return digest(*parts)


def surroundings() -> dict[str, str]:
    """{"machine", "versions"} of this process; UserError where constriction is not installed."""
    stack.module()  # which says what to do where it is missing
    device = jax.devices()[0]
    versions = " ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return {"machine": f"{platform.machine()}, {device.device_kind}", "versions": versions}


def check(written: Mapping[str, str], here: Mapping[str, str], where: str) -> None:
    """Refuses a file that this program would decode to other images.

    Args:
      written: the fingerprint in the file.
      here: that of this program; parts that it lacks are not compared.
      where: the file, as the subject of a sentence.

    Raises:
      UserError: a part differs; it is named with what to do.
    """
    for part, value in here.items():
        if written.get(part) != value:
            is_hash = part in ("weights", "numbers")
            told = "" if is_hash else f" ({written.get(part)}, and here {value})"
            raise UserError(f"{where} was written with another {NAMED[part]}{told}: {MENDED[part]}")
