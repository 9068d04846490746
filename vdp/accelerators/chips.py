"""Figures of accelerators, for one chip, with their sources: the only place that has any.

Arithmetic is dense, without sparsity. jax computes products of float32 at its default precision:
as TensorFloat-32 on GPUs, as one pass in bfloat16 on TPUs. At precision HIGHEST a GPU uses its
float32 units, a TPU six passes in bfloat16.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

GPU, TPU = "cuda", "tpu"  # as jax names the compilers
KINDS = {GPU: "gpu", TPU: "tpu"}  # as jax names the backends


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator.

    Attributes:
      compiler: GPU or TPU.
      name: as its maker and jax write it.
      half: FLOP/s of products of bfloat16 and float16.
      single: of float32 at jax's default precision.
      full: of float32 at precision HIGHEST.
      memory: bytes there are; of GPUs as their driver reports it, to a percent.
      usable: share of them that jax leaves to a program's arrays.
      bandwidth: of the memory, bytes/s.
      links: to the other chips of the machine or slice, bytes/s out of one chip.
      launch: s between the starts of two kernels that do next to nothing.
      source: of these figures.
      compiled_as: what else the compiler has to know.
    """

    compiler: str
    name: str
    half: float
    single: float
    full: float
    memory: int
    usable: float
    bandwidth: float
    links: float
    launch: float
    source: str
    compiled_as: Mapping[str, object]


def _gpu(name: str, *, half: float, single: float, full: float, **figures: Any) -> Chip:
    """A GPU; launches are assumed, and jax takes three quarters of the memory by default."""
    given = {key: figures.pop(key) for key in ("memory", "bandwidth", "links", "source")}
    return Chip(
        compiler=GPU, name=name, half=half, single=single, full=full, usable=0.75, launch=2.5e-6,
        compiled_as=figures, **given,
    )  # fmt: skip


def _tpu(name: str, half: float, memory: int, bandwidth: float, links: float, kind: str) -> Chip:
    """A TPU; one program holds all its kernels, so that none is launched by a host."""
    return Chip(
        compiler=TPU, name=name, half=half, single=half, full=half / 6, memory=memory,
        usable=0.976, bandwidth=bandwidth, links=links, launch=0.0,
        source="cloud.google.com/tpu/docs/" + name.rpartition(" ")[2], compiled_as={"type": kind},
    )  # fmt: skip


_HOPPER: dict[str, Any] = dict(
    capability=(9, 0), cores=132, fpus=128, shared=233472, shared_block=232448, l2=52428800,
    ghz=1.98, half=989.4e12, single=494.7e12, full=66.9e12, links=450e9,
)  # fmt: skip
CHIPS = {
    "a100": _gpu(
        "NVIDIA A100-SXM4-80GB", memory=85_100_000_000, bandwidth=2.039e12, links=300e9,
        half=312e12, single=156e12, full=19.5e12, capability=(8, 0), cores=108, fpus=64,
        shared=167936, shared_block=166912, l2=41943040, ghz=1.41,
        source="NVIDIA A100 Tensor Core GPU data sheet (SXM, 80 GB)",
    ),
    "h100": _gpu(
        "NVIDIA H100 80GB HBM3", memory=84_978_434_048, bandwidth=3.352e12, **_HOPPER,
        source="NVIDIA H100 Tensor Core GPU Architecture white paper (SXM5)",
    ),
    "h200": _gpu(
        "NVIDIA H200", memory=150_000_000_000, bandwidth=4.8e12, **_HOPPER,
        source="NVIDIA H200 Tensor Core GPU data sheet (SXM)",
    ),
    "v5e": _tpu("TPU v5e", 197e12, 16 * 2**30, 819e9, 200e9, "v5litepod-4"),
    "v5p": _tpu("TPU v5p", 459e12, 95 * 2**30, 2765e9, 600e9, "v5p-8"),
    "v6e": _tpu("TPU v6e", 918e12, 32 * 2**30, 1638e9, 400e9, "v6e-4"),
}  # fmt: skip
