"""Arithmetic of matrix products and convolutions, counted from the traced program.

A product of [M, K] and [K, N] has 2 M K N FLOPs, a convolution 2 for every input that meets a
weight (zeros of padding and of dilation meet none). What scans repeat is counted as often.
Everything else, a few operations per number, is left out: it is bound by memory, not by arithmetic.
What a compiler drops, joins or computes twice is not seen.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core as jax_core

HALF, SINGLE, FULL = "half", "single", "full"  # rates of `vdp.accelerators.chips.Chip`
Flops = Counter[str]  # by rate


def count(jaxpr: Any, platform: str) -> Flops:
    """FLOPs of a jaxpr by the rate at which a chip computes them.

    Loops without a length (`while_loop`) are counted once, of branches the one with most work.

    Args:
      jaxpr: closed or not.
      platform: "cpu", "gpu" or "tpu": its branch is taken where a program has one for each.
    """
    return _Counting(platform).of(getattr(jaxpr, "jaxpr", jaxpr))


class _Counting:
    def __init__(self, platform: str):
        self.names = {platform, "cuda"} if platform == "gpu" else {platform}
        self.known: dict[int, Flops] = {}  # jaxprs that are called more than once

    def of(self, jaxpr: Any) -> Flops:
        if id(jaxpr) not in self.known:
            self.known[id(jaxpr)] = sum((self.equation(e) for e in jaxpr.eqns), Counter())
        return self.known[id(jaxpr)]

    def equation(self, equation: Any) -> Flops:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            return Counter({_rate(equation): _dot(equation)})
        if name == "conv_general_dilated":
            return Counter({_rate(equation): _convolution(equation)})
        if name == "cond":
            branches = [self.of(branch.jaxpr) for branch in params["branches"]]
            if platforms := params.get("branches_platforms"):
                return branches[self._branch(platforms)]
            return max(branches, key=Counter.total)
        times = params["length"] if name == "scan" else 1
        inside = sum(map(self.of, _jaxprs(params.values())), Counter())
        return Counter({rate: times * flops for rate, flops in inside.items()})

    def _branch(self, platforms: Any) -> int:
        """The index of this platform's branch; the one without platforms is for all others."""
        own = [i for i, names in enumerate(platforms) if names and self.names & set(names)]
        return (own or [i for i, names in enumerate(platforms) if not names])[0]


def _jaxprs(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, jax_core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, jax_core.Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _jaxprs(value)


def _rate(equation: Any) -> str:
    """The rate of a product: of the narrower factor's type, and of float32 by its precision."""
    bits = min(np.dtype(factor.aval.dtype).itemsize * 8 for factor in equation.invars[:2])
    if bits < 32:
        return HALF
    precision = equation.params.get("precision")
    highest = jax.lax.Precision.HIGHEST in (precision if isinstance(precision, tuple) else ())
    return FULL if highest or precision == jax.lax.Precision.HIGHEST else SINGLE


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    sizes = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(sizes[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    params, dims = equation.params, equation.params["dimension_numbers"]
    inputs, kernel, outputs = (v.aval.shape for v in (*equation.invars, *equation.outvars))
    met = 1  # pairs of an output's and a kernel's place that see an input, over spatial axes
    for axis, (low, _) in enumerate(params["padding"]):
        size = inputs[dims.lhs_spec[2 + axis]]
        holes = params["lhs_dilation"][axis]
        first = np.arange(outputs[dims.out_spec[2 + axis]]) * params["window_strides"][axis] - low
        offsets = np.arange(kernel[dims.rhs_spec[2 + axis]]) * params["rhs_dilation"][axis]
        place = first[:, None] + offsets
        met *= int(np.sum((place >= 0) & (place <= (size - 1) * holes) & (place % holes == 0)))
    per_place = kernel[dims.rhs_spec[1]] * outputs[dims.out_spec[1]]  # inputs of a group, outputs
    return 2 * met * per_place * outputs[dims.out_spec[0]]
