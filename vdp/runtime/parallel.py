"""Devices and processes: one program for 1..N devices on a mesh with the axis `data`.

The step is written for the global batch; `jax.jit` over the mesh splits it. Parameters are
replicated, or sharded over the same axis with `train.fsdp`.
"""

import functools
import os
import sys
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vdp.errors import STOPPED, UserError, first_line
from vdp.runtime import signals
from vdp.types import AnyArray, Array

PATIENCE = 5.0  # s that a process which failed waits for others that fail like it
JOIN_SECONDS = 1800  # pods and hosts start minutes apart: images are pulled, nodes added
GONE = ("closed by peer", "coordination service", "remote process exit")  # as gloo, jax, NCCL say
FSDP_MIN_SIZE = 2**14  # smaller arrays stay replicated


def initialize(multihost: bool) -> None:
    """Joins the other processes when asked to, or when the environment says there are some.

    By hand: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Under Slurm, Open MPI
    and on Cloud TPU the flag alone is enough; a Slurm step of several tasks needs no flag.

    Args:
      multihost: whether this process is one of several, however the environment looks.

    Raises:
      UserError: the environment makes no sense, the others do not come, or there is no device.
    """
    environment = os.environ
    by_hand = bool(environment.get("JAX_COORDINATOR_ADDRESS"))  # empty is as good as none
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or "1"
    if not tasks.isdecimal():
        raise UserError(f"SLURM_STEP_NUM_TASKS={tasks!r} must be a whole number, or not be set")
    if (multihost or by_hand or int(tasks) > 1) and not jax.distributed.is_initialized():
        _join(environment if by_hand else None)
    try:
        jax.devices()
    except Exception as error:  # as JAX_PLATFORMS=cuda where there is none: no closed list
        asked = environment.get("JAX_PLATFORMS", "")
        reason = first_line(error) or f"JAX_PLATFORMS={asked!r} finds none"
        raise UserError(
            f"jax has no device to compute on ({reason}): set JAX_PLATFORMS to what this machine "
            "has, as cpu, or leave it unset"
        ) from error


def _join(by_hand: Mapping[str, str] | None) -> None:
    """Waits for the other processes, by an environment that names them or as jax finds them."""
    arguments: dict[str, Any] = {"initialization_timeout": JOIN_SECONDS}
    if by_hand:
        try:
            arguments |= {
                "coordinator_address": by_hand["JAX_COORDINATOR_ADDRESS"],
                "num_processes": int(by_hand["JAX_NUM_PROCESSES"]),
                "process_id": int(by_hand["JAX_PROCESS_ID"]),
                "cluster_detection_method": "deactivate",  # a scheduler around it is not asked
            }
        except (KeyError, ValueError) as error:
            raise UserError(
                "JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be "
                f"whole numbers too ({error})"
            ) from error
    # SIGTERM is ours: vdp/runtime/signals.py
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with signals.ending_at_once():
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


def of_writer(number: int) -> int:
    """A number of the process that writes: the same answer in all of them.

    For what a process reads in a folder: another one may not see yet what is there.
    """
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.asarray(number)))


def alike(text: str) -> bool:
    """Whether a text is the same in all processes: the same answer in all of them."""
    number = zlib.crc32(text.encode(errors="surrogateescape"))
    return least(number) == -least(-number)


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


def is_alone(error: BaseException) -> bool:
    """Whether an error is that of a process whose others have ended while it waited for them."""
    return jax.process_count() > 1 and any(words in str(error) for words in GONE)


def next_multiple(size: int, devices: int) -> int:
    """The smallest batch of `size` or more that falls evenly on so many devices."""
    return -(-size // devices) * devices


def is_writer() -> bool:
    """Whether this process writes the run's files and prints."""
    return jax.process_index() == 0


def hardware() -> dict[str, Any]:
    """What this program computes on: "devices" of a "kind", "processes", the "cores" it may use.

    config.json keeps it.
    """
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return {
        "devices": jax.device_count(),
        "kind": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
        "cores": len(allowed(0)),
    }


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices of all processes, or those given, on one axis, `data`."""
    if devices is not None:
        return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_batch_size(
    num_devices: int, batch_size: int, field: str, *, microbatches: int = 1
) -> None:
    """A global batch, and each of its microbatches, has to fall evenly on the devices."""
    if batch_size < 1 or batch_size % (num_devices * microbatches):
        parts = f" times {microbatches} microbatches" if microbatches > 1 else ""
        raise UserError(
            f"{field}={batch_size} must be a positive multiple of {num_devices} devices{parts}"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batches(mesh: Mesh) -> NamedSharding:
    """Batches of several steps, [K, B, ...], split over the devices by their examples."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def place(array: AnyArray | np.generic, sharding: jax.sharding.Sharding) -> Array:
    """The array on the devices of the sharding; every process holds the same array."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def placer(mesh: Mesh) -> Callable:
    """Returns array -> the array replicated on the mesh, as `place`."""
    return functools.partial(place, sharding=replicated(mesh))


def batch_constraint(mesh: Mesh) -> Callable:
    """Returns tree -> the tree with leading axes split over `data`, for use inside jit."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda tree: jax.lax.with_sharding_constraint(tree, sharding)


def state_shardings(shapes: Any, mesh: Mesh, *, fsdp: bool = False) -> Any:
    """A sharding for every leaf: replicated, or with `fsdp` the largest divisible axis split."""

    def shard(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        sizes = [size if size % mesh.size == 0 else 0 for size in leaf.shape]
        if not fsdp or not sizes or max(sizes) == 0 or np.prod(leaf.shape) < FSDP_MIN_SIZE:
            return replicated(mesh)
        axis = int(np.argmax(sizes))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    return jax.tree.map(shard, shapes)
