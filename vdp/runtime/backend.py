"""Which kind of device a program is traced for: this process's own, unless something says another.

Code that differs between CPUs and accelerators asks this module and not jax, so that programs can
be compiled for chips that are not there.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_other: contextvars.ContextVar[str | None] = contextvars.ContextVar("other", default=None)


def platform() -> str:
    """The kind of device that a program traced here will run on: "cpu", "gpu" or "tpu"."""
    return _other.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether a program traced here will run on a CPU."""
    return platform() == "cpu"


def on_tpu() -> bool:
    """Whether a program traced here will run on a TPU."""
    return platform() == "tpu"


@contextlib.contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Programs that are traced meanwhile, in this thread, are for another kind of device.

    Args:
      platform: "cpu", "gpu" or "tpu".
    """
    token = _other.set(platform)
    try:
        yield
    finally:
        _other.reset(token)
