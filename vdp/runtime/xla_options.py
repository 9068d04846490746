"""Options of XLA that vdp sets, and why: the only place of them.

Those of a process stand in XLA_FLAGS before jax starts. XLA ends a process that names an option it
does not know, and jaxlib drops and adds some, so that an option says which jaxlib has it. All
others keep XLA's defaults (docs/accelerators.md says which were looked at), and an option that the
person has set stays.
"""

import dataclasses
import importlib.metadata
from collections.abc import Collection, Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a process.

    Attributes:
      flag: as it stands in XLA_FLAGS.
      asked_by: the field of `train` that asks for it.
      before: the first version of jaxlib that does not know it; None where all do.
    """

    flag: str
    asked_by: str
    before: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Without its value."""
        return self.flag.split("=")[0]


OPTIONS = (
    # GPUs: sums are taken in one order, and no kernel is chosen by timing: runs repeat bit by bit
    Option(flag="--xla_gpu_deterministic_ops=true", asked_by="deterministic"),
    # programs are ready sooner, and slower on CPUs
    Option(flag="--xla_backend_optimization_level=0", asked_by="quick_compile"),
    Option(flag="--xla_cpu_use_fusion_emitters=false", asked_by="quick_compile", before=(0, 11)),
)
# Of programs for chips that are not there: a GPU's kernels are tuned on the card, and products that
# Triton might compute need that tuning.
AHEAD_OF_TIME: dict[str, dict[str, bool | int]] = {
    "cuda": {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False},
    "tpu": {},
}


def flags(asked: Collection[str], given: Sequence[str] = ()) -> list[str]:
    """XLA_FLAGS of a process: those that are given, and those that are asked for beside them.

    Args:
      asked: fields of `train` that are set.
      given: flags that are in XLA_FLAGS, which stay as they are.
    """
    there = {flag.split("=")[0] for flag in given}
    wanted = (option for option in OPTIONS if option.asked_by in asked and _known(option))
    return [*given, *(option.flag for option in wanted if option.name not in there)]


def _known(option: Option) -> bool:
    version = importlib.metadata.version("jaxlib").split(".")
    return option.before is None or tuple(map(int, version[: len(option.before)])) < option.before
