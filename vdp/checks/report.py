"""What is said of a component: one line for each law, and whether it held."""

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from vdp.errors import UserError
from vdp.runtime.trees import leaf_name
from vdp.types import Array

Verdict = tuple[bool | None, str]  # whether the law held, None where that is open; in words
MARKS = {True: "held", False: "BROKEN", None: "open"}
ERRORS = 5  # standard errors that chance is granted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Law:
    """One law and what became of it: `held` is None where it could not be decided."""

    name: str
    held: bool | None
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The laws of one component, in the order they were tried; printed as a table."""

    component: str
    laws: tuple[Law, ...]

    @property
    def broken(self) -> tuple[Law, ...]:
        """The laws that do not hold."""
        return tuple(law for law in self.laws if law.held is False)

    def __str__(self) -> str:
        width = max(len(law.name) for law in self.laws)
        lines = [f"  {MARKS[law.held]:6}  {law.name:{width}}  {law.detail}" for law in self.laws]
        return "\n".join([self.component, *lines])

    def require(self) -> None:
        """Raises UserError where a law is broken; the message names them."""
        if self.broken:
            names = "; ".join(law.name for law in self.broken)
            raise UserError(f"{self.component} breaks {len(self.broken)} of its laws: {names}")


def tried(component: str, laws: Mapping[str, Callable[[], Verdict]]) -> Report:
    """Tries laws one after the other; where the first is broken the others are left open.

    Args:
      component: how the report names it.
      laws: {law: function of no arguments}; an exception in it breaks the law.
    """
    rows: list[Law] = []
    for name, function in laws.items():
        if rows and rows[0].held is False:
            rows.append(Law(name=name, held=None, detail="not tried"))
            continue
        try:
            held, detail = function()
        except Exception as error:
            held, detail = False, _raised(error)
        rows.append(Law(name=name, held=held, detail=detail))
    return Report(component=component, laws=tuple(rows))


def _raised(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
    message = (str(error).splitlines() or [""])[0][:150]
    return f"{type(error).__name__}: {message} ({last.filename}:{last.lineno})"


def agree(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str], tolerance: float = 1e-3
) -> Verdict:
    """Whether the means of two samples, each [N, ...], agree within their standard errors.

    Args:
      first: draws of what should have one mean with `second`.
      second: the other draws.
      names: what they are, for the words.
      tolerance: a difference of the means that is allowed besides, for rounding.
    """
    first, second = (np.asarray(x, np.float64) for x in (first, second))
    difference = first.mean(0) - second.mean(0)
    error = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    scale = 1 + np.abs(second.mean(0))
    worst = np.unravel_index(
        np.argmax(np.abs(difference) / (error + tolerance * scale)), error.shape
    )
    a, b, e = first.mean(0)[worst], second.mean(0)[worst], error[worst]
    allowed = ERRORS * e + tolerance * scale[worst]
    said = f"{names[0]} {a:.4g}, {names[1]} {b:.4g}; their difference {a - b:.2g} ± {e:.2g}"
    return bool(np.abs(a - b) <= allowed), f"{said}; {allowed:.2g} is allowed"


def unreached(gradients: Any, unnamed: str) -> str:
    """What is wrong with a tree of gradients; "" where all are finite and none is all zero.

    Args:
      gradients: by the names of what they are of.
      unnamed: how a gradient that is no tree is called.
    """
    silent = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        where = leaf_name(path) or unnamed
        if not np.isfinite(leaf).all():
            return f"the gradient of {where} is not finite"
        if not np.any(leaf):
            silent.append(where)
    return f"no gradient reaches {', '.join(silent)}" if silent else ""


def moved(params: Any, key: Array) -> Any:
    """Parameters moved off their start, each number by a tenth of a standard normal draw.

    What starts at zero hides a wrong determinant and cuts gradients off.
    """
    flat, unravel = ravel_pytree(params)
    return unravel(flat + 0.1 * jax.random.normal(key, flat.shape))


def close(first, second, what: str, tolerance: float = 1e-3) -> Verdict:
    """Whether two arrays are equal but for rounding; their largest difference in words."""
    first, second = (np.asarray(x, np.float64) for x in (first, second))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return False, f"{what}: not finite"
    worst = float(np.max(np.abs(first - second) / (1 + np.abs(second)), initial=0.0))
    allowed = f"{tolerance:g} is allowed" if tolerance else "none is allowed"
    return worst <= tolerance, f"{what}: largest relative difference {worst:.2g}, {allowed}"
