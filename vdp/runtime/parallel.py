"""Devices and processes: one program for 1..N devices on a mesh with the axis `data`.

The step is written for the global batch; `jax.jit` over the mesh splits it. Parameters are
replicated, or sharded over the same axis with `train.fsdp`.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vdp.errors import STOPPED, UserError

PATIENCE = 5.0  # s that a process which failed waits for others that fail like it
JOIN_SECONDS = 1800  # pods and hosts start minutes apart: images are pulled, nodes added
FSDP_MIN_SIZE = 2**14  # smaller arrays stay replicated


def initialize(multihost: bool) -> None:
    """Joins the other processes when asked to, or when the environment says there are some.

    By hand: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Under Slurm, Open MPI
    and on Cloud TPU the flag alone is enough; a Slurm step of several tasks needs no flag.
    """
    environment = os.environ
    by_hand = "JAX_COORDINATOR_ADDRESS" in environment
    slurm = int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if not (multihost or by_hand or slurm) or jax.distributed.is_initialized():
        return
    arguments: dict[str, Any] = {"initialization_timeout": JOIN_SECONDS}
    if by_hand:
        try:
            arguments |= {
                "coordinator_address": environment["JAX_COORDINATOR_ADDRESS"],
                "num_processes": int(environment["JAX_NUM_PROCESSES"]),
                "process_id": int(environment["JAX_PROCESS_ID"]),
                "cluster_detection_method": "deactivate",  # a scheduler around it is not asked
            }
        except (KeyError, ValueError) as error:
            raise UserError(
                "JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be "
                f"whole numbers too ({error})"
            ) from error
    # SIGTERM is ours: vdp/training/preemption.py
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**arguments)
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"the other processes could not be joined: {first}") from error


def agreed(flag: bool) -> bool:
    """Whether the flag is up in any process: the same answer in all of them."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def least(number: int) -> int:
    """The smallest number of all processes: the same answer in all of them."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.asarray(number)).min())


def leave(code: int) -> None:
    """Ends this process if it has failed and is one of several; else only returns.

    At exit jax waits minutes for all processes, and they may wait for this one's part in a sum.
    When it is gone, they are stopped by jax or by what started them.
    """
    if code in (0, STOPPED) or not jax.distributed.is_initialized():
        return
    others = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    others.start()
    others.join(PATIENCE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def is_writer() -> bool:
    """Whether this process writes the run's files and prints."""
    return jax.process_index() == 0


def make_mesh() -> Mesh:
    """All devices of all processes on one axis, `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_batch_size(num_devices: int, batch_size: int, field: str) -> None:
    """A global batch has to fall evenly on the devices."""
    if batch_size < 1 or batch_size % num_devices:
        raise UserError(
            f"{field}={batch_size} must be a positive multiple of {num_devices} devices"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def placer(mesh: Mesh) -> Callable:
    """Returns array -> the array replicated on the mesh; every process holds the same array."""
    sharding = replicated(mesh)

    def place(array):
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return place


def batch_constraint(mesh: Mesh) -> Callable:
    """Returns tree -> the tree with leading axes split over `data`, for use inside jit."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda tree: jax.lax.with_sharding_constraint(tree, sharding)


def state_shardings(shapes: Any, mesh: Mesh, *, fsdp: bool = False) -> Any:
    """A sharding for every leaf: replicated, or with `fsdp` the largest divisible axis split."""

    def shard(leaf) -> NamedSharding:
        sizes = [size if size % mesh.size == 0 else 0 for size in leaf.shape]
        if not fsdp or not sizes or max(sizes) == 0 or np.prod(leaf.shape) < FSDP_MIN_SIZE:
            return replicated(mesh)
        axis = int(np.argmax(sizes))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    return jax.tree.map(shard, shapes)
