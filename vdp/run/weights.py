"""Parameters without a training: one file in the format of safetensors, of an exported run.

Its tensors are named as `--mode=describe --parameters` names them, below "params" and "stats": the
averages of the parameters, and of running statistics with the constants taken from data.
"""

import hashlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vdp.errors import UserError
from vdp.record import Record, Weights
from vdp.runtime import files
from vdp.runtime.trees import leaf_name
from vdp.types import Params, Stats

FILE = "model.safetensors"
Leaves = dict[str, Any]  # arrays by their paths, as encoder/Dense_0/kernel


def leaves(tree: Any) -> Leaves:
    """The leaves of nested dicts by their paths."""
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def write(
    folder: pathlib.Path, params: Params, stats: Stats, *, step: int, dtype: str = "float32"
) -> Weights:
    """Writes the parameters of a checkpoint, and says what was written.

    Args:
      folder: for the file.
      params: floats are stored as `dtype`.
      stats: stored as they are: constants of the data lose nothing.
      step: of the checkpoint.
      dtype: one of `vdp.record.DTYPES`.
    """
    from safetensors import numpy as safetensors

    kind = jnp.dtype(dtype)
    short = lambda leaf: leaf.astype(kind) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
    tensors = {f"params/{name}": short(np.asarray(leaf)) for name, leaf in leaves(params).items()}
    tensors |= {f"stats/{name}": np.asarray(leaf) for name, leaf in leaves(stats).items()}
    dense = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    content = safetensors.save(dense, metadata={"format": "flax"})
    with files.replacing(folder / FILE) as temporary:
        temporary.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Weights(file=FILE, step=step, dtype=dtype, sha256=digest)


def read(record: Record) -> tuple[Leaves, Leaves]:
    """(parameters, stats) of an exported folder by their paths, as they are stored.

    Raises:
      UserError: the file is missing, or not the one that was written.
    """
    assert record.weights is not None
    path = record.workdir / record.weights.file
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"the weights {path} cannot be read ({error.strerror}): copy the whole folder again"
        ) from error
    if digest != record.weights.sha256:
        raise UserError(
            f"the weights {path} are damaged (their bits do not match config.json): copy the file "
            "again (a few lines of text in place of it are a pointer of git-lfs: git lfs pull)"
        )
    from safetensors import numpy as safetensors

    stored = safetensors.load_file(path)
    under = lambda part: {
        name.removeprefix(part): leaf for name, leaf in stored.items() if name.startswith(part)
    }
    return under("params/"), under("stats/")


def check_step(record: Record, which: str | int) -> None:
    """Refuses another checkpoint than the only one that an exported folder has; UserError."""
    assert record.weights is not None
    if str(which) not in ("best", "latest", str(record.weights.step)):
        raise UserError(
            f"no checkpoint {which!r} in {record.workdir}: it holds exported weights of step "
            f"{record.weights.step} alone"
        )


def check_trainable(workdir: pathlib.Path) -> None:
    """Refuses to train in a folder that an export has written; UserError."""
    if (workdir / FILE).is_file():
        raise UserError(
            f"{workdir} holds exported weights and no state of an optimiser to go on from: name "
            "another workdir, and take encoder and decoder from this one by "
            f"config.train.init_from={workdir}, or all of it by vdp.run.create"
        )
