"""The laws of a network: what every place that takes one relies on."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.checks.report import Report, Verdict, close, moved, tried, unreached
from vdp.nets import stateful
from vdp.types import Array, Shape

BATCH = 3


def check_network(
    net: nn.Module,
    in_shape: Shape,
    out_shape: Shape | None = None,
    *,
    name: str = "network",
    seed: int = 0,
) -> Report:
    """Tries the laws of a network, in seconds for small ones.

    Args:
      net: a linen module, called as net(x, out_shape, train=...) or, of a denoiser, as
        net(y, time, train=...).
      in_shape: of one input, without the batch.
      out_shape: of one output; None for a denoiser, which gives the shape of its input.
      name: in the report.
      seed: of everything random.

    Returns:
      The report; `print` it, or `require` its laws.
    """
    case = _Case(net, tuple(in_shape), None if out_shape is None else tuple(out_shape), seed)
    laws: dict[str, Callable[[], Verdict]] = {
        "shapes and types": case.shapes,
        "the same input gives the same output": case.repeats,
        "jit changes nothing": case.jit,
        "no example of a batch influences another": case.alone,
        "gradients are finite and reach every parameter": case.gradients,
        "it runs in training": case.trains,
    }
    return tried(name, laws)


class _Case:
    """A network, its input, and parameters moved off their start."""

    def __init__(self, net: nn.Module, in_shape: Shape, out_shape: Shape | None, seed: int):
        self.net, self.denoiser = net, out_shape is None
        self.wanted = (BATCH, *(in_shape if out_shape is None else out_shape))
        rngs = jax.random.split(jax.random.key(seed), 4)
        self.x = jax.random.normal(rngs[0], (BATCH, *in_shape))
        self.second = jnp.array([10.0, 500.0, 990.0]) if out_shape is None else out_shape
        self.rngs = rngs

    def _start(self) -> tuple[Any, Any]:
        stats: Any = {}
        if self.denoiser:
            first = self.rngs[1], self.x[:1], self.second[:1]
            params = stateful.init_stateless(self.net, *first, role="a denoiser")
        else:
            params, stats = stateful.init(self.net, self.rngs[1], self.x[:1], self.second)
        return moved(params, self.rngs[2]), stats

    @functools.cached_property
    def variables(self) -> tuple[Any, Any]:
        """(parameters, statistics), made once for all laws."""
        return jax.jit(self._start)()

    def _apply(self, params, stats, x: Array, second: Any, *, train: bool = False) -> Array:
        rngs = {"dropout": self.rngs[3]} if train else None
        return stateful.apply(self.net, params, stats, x, second, train=train, rngs=rngs)[0]

    def shapes(self) -> Verdict:
        def call(x):
            return self._apply(*self._start(), x, self.second)

        given: Any = jax.eval_shape(call, self.x)
        if getattr(given, "shape", None) != self.wanted:
            shape = getattr(given, "shape", type(given).__name__)
            return False, f"gives {shape} for a batch of {BATCH} where {self.wanted} is needed"
        if given.dtype != jnp.float32:
            return False, f"gives {given.dtype} where float32 is needed"
        return True, f"{tuple(self.x.shape[1:])} to {self.wanted[1:]}, float32"

    def repeats(self) -> Verdict:
        params, stats = self.variables
        first, second = (self._apply(params, stats, self.x, self.second) for _ in range(2))
        return close(first, second, "two calls", 0.0)

    def jit(self) -> Verdict:
        params, stats = self.variables
        call = lambda params, stats, x: self._apply(params, stats, x, self.second)
        arguments = params, stats, self.x
        return close(call(*arguments), jax.jit(call)(*arguments), "compiled and not")

    def alone(self) -> Verdict:
        params, stats = self.variables
        whole = self._apply(params, stats, self.x, self.second)[:1]
        second = self.second[:1] if self.denoiser else self.second
        alone = self._apply(params, stats, self.x[:1], second)
        return close(whole, alone, "in a batch of three and alone")

    def gradients(self) -> Verdict:
        params, stats = self.variables
        weights = jax.random.normal(self.rngs[3], self.wanted)

        def total(params, x):
            return (weights * self._apply(params, stats, x, self.second)).sum()

        of_params, of_x = jax.jit(jax.grad(total, argnums=(0, 1)))(params, self.x)
        wrong = unreached(of_params, "the parameters") or unreached(of_x, "the input")
        leaves = jax.tree.leaves(of_params)
        size = sum(leaf.size for leaf in leaves)
        return not wrong, wrong or f"{len(leaves)} arrays, {size:,} parameters"

    def trains(self) -> Verdict:
        params, stats = self.variables
        out = self._apply(params, stats, self.x, self.second, train=True)
        return bool(jnp.isfinite(out).all()), "train=True gives finite numbers"
