"""Compiling for chips that are not there, by jax's ahead-of-time compilers of GPUs and TPUs.

GPU programs are compiled without autotuning, which needs a card: products that Triton might have
computed are left to cuBLAS, whose choice of kernel is not known.
"""

import dataclasses
import importlib.util
import os
import re
import time
from typing import Any

import jax
from jax.experimental import topologies

from vdp.accelerators import targets
from vdp.accelerators.chips import GPU, KINDS, Chip
from vdp.accelerators.targets import Target
from vdp.errors import UserError, first_line
from vdp.runtime import backend, parallel, xla_options

PACKAGES = {"cuda": ("jax_cuda12_plugin", "jax_cuda13_plugin"), "tpu": ("libtpu",)}
CARD = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_core: {shared}
  shared_memory_per_block_optin: {shared_block}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: {cores} fpus_per_core: {fpus} clock_rate_ghz: {ghz} l2_cache_size: {l2}
  memory_bandwidth: {bandwidth:.0f} device_memory_size: {memory}
  cuda_compute_capability {{ major: {capability[0]} minor: {capability[1]} }}
}}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 8 }} device_description_str: "{name}"
"""
TOO_LARGE = re.compile(  # the whole program, or its temporaries alone
    r"(?:Used |HLO temporaries \()([\d.]+)([KMGT])(?: of [\d.]+[KMGT] hbm|\) exceeds)"
)
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class TooLarge(Exception):
    """The compiler refuses a program that the chip's memory cannot hold.

    Args:
      size: bytes it would need at least; None where the compiler does not say.
    """

    def __init__(self, size: float | None):
        super().__init__(f"{size} bytes")
        self.size = size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """A program as the compiler has left it.

    Attributes:
      text: optimised HLO, of one device.
      memory: bytes of one device: "arguments", "outputs", "temporaries", "aliased" (outputs that
        take the place of arguments), "code", and "total".
      seconds: of compilation, on this machine.
    """

    text: str
    memory: dict[str, int]
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chips:
    """Chips that can be compiled for.

    Attributes:
      target: which chips, and how many.
      mesh: the chips on one axis, `data`.
    """

    target: Target
    mesh: jax.sharding.Mesh

    @property
    def platform(self) -> str:
        """Their kind as jax names backends: "gpu" or "tpu"."""
        return KINDS[self.target.chip.compiler]


def chips(text: str) -> Chips:
    """The chips of a text as of `vdp.accelerators.targets.parse`.

    Raises:
      UserError: as of `parse`, or their compiler is not installed, or they come in no such shape.
    """
    target = targets.parse(text)
    chip = target.chip
    if not any(map(importlib.util.find_spec, PACKAGES[chip.compiler])):
        raise UserError(
            f"config.describe.target={target.text} needs the compiler of {chip.name}, which comes "
            f"with pip install 'vdp-diffusion-priors[{chip.compiler}]' (in a checkout: pip install "
            f"-e '.[{chip.compiler}]')"
        )
    if chip.compiler == GPU:
        options = {"topology": target.topology, "target_config": _card(chip)}
    else:
        options = {}
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # ask no metadata server
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", str(chip.compiled_as["type"]))
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    try:
        found = topologies.get_topology_desc(target.topology, chip.compiler, **options)
    except Exception as error:  # plugins raise many types
        raise UserError(
            f"config.describe.target={target.text} cannot be compiled for ({first_line(error)}): "
            "choose another shape, or install the extra that constraints.txt was made with"
        ) from error
    mesh = parallel.make_mesh(found.devices[: target.devices])
    return Chips(target=target, mesh=mesh)


def _card(chip: Chip) -> str:
    figures = {field.name: getattr(chip, field.name) for field in dataclasses.fields(chip)}
    return CARD.format(**figures, **chip.compiled_as)


def compiled(traced: Any, chips: Chips) -> Compiled:
    """Compiles what was traced inside `backend.tracing_for` of the chips' platform.

    Args:
      traced: of `jax.jit(...).trace` with shapes on the chips' mesh.
      chips: the target.

    Raises:
      TooLarge: the compiler refuses it for want of memory.
    """
    name = chips.target.chip.compiler
    start = time.perf_counter()
    try:
        with backend.tracing_for(chips.platform):
            lowered = traced.lower(lowering_platforms=(name,))
        program = lowered.compile(compiler_options=xla_options.AHEAD_OF_TIME[name])
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = TOO_LARGE.search(str(error))
        raise TooLarge(float(found[1]) * UNITS[found[2]] if found else None) from error
    seconds = time.perf_counter() - start
    analysis = program.memory_analysis()
    memory = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "aliased": analysis.alias_size_in_bytes,
        "code": analysis.generated_code_size_in_bytes,
    }
    memory["total"] = sum(memory.values()) - 2 * memory["aliased"]
    return Compiled(text=program.as_text(), memory=memory, seconds=seconds)
