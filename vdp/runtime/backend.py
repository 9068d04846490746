"""Which kind of device a program is traced for: this process's own, unless something says another.

What is written differently for a CPU than for an accelerator asks here and not jax, so that the
program of a chip that is not there can be compiled and read.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_other: contextvars.ContextVar[str | None] = contextvars.ContextVar("other", default=None)


def platform() -> str:
    """The kind of device, "cpu", "gpu" or "tpu", that what is traced now will run on."""
    return _other.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether what is traced now will run on a CPU."""
    return platform() == "cpu"


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
