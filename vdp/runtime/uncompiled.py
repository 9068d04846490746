"""Functions that draw much and compute little, such as the start of parameters, without a compiler.

As one program the start of a hierarchy has hundreds of draws, each a loop of its own, and compiles
for half a minute on a CPU to run for a tenth of a second. Here its equations are evaluated with
numpy, those alone that the results need: networks traced for their parameters' shapes never run. Of
large arrays, such as the images that a start looks at, only the rows that are taken are read. The
random bits are jax's own; what is made of them may differ by a rounding from the compiled function.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.extend.core import primitives

from vdp.runtime.numpy_rules import RULES
from vdp.types import Array

THREEFRY = "threefry2x32"
LARGE = 2**28  # bytes of an array that is read a part at a time
DRAWS = (primitives.random_fold_in_p, primitives.random_split_p, primitives.random_bits_p)


def evaluated(function: Callable) -> Callable:
    """The same function; its arrays are numpy's.

    Where keys are not threefry's as jax makes them by default, it is compiled as it stands.
    """

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, options))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (jax.Array, np.ndarray))]

        def of(*arrays: Array) -> Any:
            known = dict(zip(places, arrays, strict=True))
            args, options = jax.tree.unflatten(
                tree, [known.get(i, leaf) for i, leaf in enumerate(leaves)]
            )
            return function(*args, **options)

        arrays = [leaves[i] for i in places]
        closed, shape = jax.make_jaxpr(of, return_shape=True)(*arrays)
        by_counters = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
        if not (by_counters and _is_plain(closed.jaxpr)):
            return jax.jit(of)(*arrays)
        wanted = [True] * len(closed.jaxpr.outvars)
        results = _results(closed, [_held(x) for x in arrays], wanted)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return run


def _held(x: Any) -> Any:
    """As numpy has it, a key as its words, uint32 [..., 2]."""
    is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if is_key else x)


def _results(closed: Any, arguments: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """The results of a function that are wanted, the others None, like arguments not needed."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, map(_held, closed.consts), strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))

    def of(atom: Any) -> Any:
        if isinstance(atom, core.Literal):
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)
        return known.get(atom)

    for equation, outputs in _live(jaxpr, wanted)[0]:
        results = _computed(equation, [of(atom) for atom in equation.invars], outputs)
        known.update(zip(equation.outvars, results, strict=True))
    return [of(atom) if asked else None for atom, asked in zip(jaxpr.outvars, wanted, strict=True)]


def _live(jaxpr: Any, wanted: Sequence[bool]) -> tuple[list[tuple[Any, list[bool]]], list[bool]]:
    """(equations that the wanted results need, each with its outputs that they need; inputs)."""
    needed = {
        atom for atom, asked in zip(jaxpr.outvars, wanted, strict=True) if asked and _is_var(atom)
    }
    kept = []
    for equation in reversed(jaxpr.eqns):
        outputs = [var in needed for var in equation.outvars]
        if any(outputs):
            kept.append((equation, outputs))
            inputs = _inputs(equation, outputs)
            needed |= {
                a for a, asked in zip(equation.invars, inputs, strict=True) if asked and _is_var(a)
            }
    return kept[::-1], [var in needed for var in jaxpr.invars]


def _is_var(atom: Any) -> bool:
    return isinstance(atom, core.Var)


def _inputs(equation: Any, outputs: Sequence[bool]) -> list[bool]:
    """The inputs of an equation that some of its outputs need."""
    if equation.primitive is primitives.jit_p:
        return _live(equation.params["jaxpr"].jaxpr, outputs)[1]
    if _is_opened_scan(equation):
        return _live(equation.params["jaxpr"].jaxpr, _of_every_trip(equation, outputs))[1]
    return [True] * len(equation.invars)


def _of_every_trip(scan: Any, outputs: Sequence[bool]) -> list[bool]:
    """The results of a trip that some outputs of the scan need: also what later trips need."""
    constants, carried = _constants_and_carried(scan)
    wanted, before = [*outputs], None
    while wanted != before:
        before = wanted
        inputs = _live(scan.params["jaxpr"].jaxpr, wanted)[1][constants : constants + carried]
        wanted = [a or b for a, b in zip(wanted, inputs, strict=False)] + wanted[carried:]
    return wanted


def _is_plain(jaxpr: Any) -> bool:
    """Whether all keys in it are threefry's."""
    threefry = jax.eval_shape(lambda: jax.random.key(0, impl=THREEFRY)).dtype
    atoms = [atom for equation in jaxpr.eqns for atom in (*equation.invars, *equation.outvars)]
    own = all(atom.aval.dtype == threefry for atom in (*jaxpr.invars, *atoms) if _is_key(atom))
    return own and all(
        _is_plain(equation.params["jaxpr"].jaxpr) for equation in jaxpr.eqns if _opens(equation)
    )


def _opens(equation: Any) -> bool:
    return equation.primitive in (primitives.jit_p, primitives.scan_p)


def _computed(equation: Any, values: list[Any], outputs: Sequence[bool]) -> Sequence[Any]:
    """The results of an equation; None for outputs that nobody needs may be among them."""
    if equation.primitive is primitives.jit_p:
        return _results(equation.params["jaxpr"], values, outputs)
    if _is_opened_scan(equation):
        return _scan(equation, values, outputs)
    if rule := RULES.get(equation.primitive.name):
        with np.errstate(over="ignore"):  # words wrap around, of which numpy warns for scalars
            result = rule(equation, *values)
        if result is not NotImplemented:
            return [np.asarray(result)]
    return _by_jax(equation, values)


def _is_opened_scan(equation: Any) -> bool:
    return equation.primitive is primitives.scan_p and (
        _draws(equation.params["jaxpr"].jaxpr) or any(map(_is_large, equation.invars))
    )


def _is_large(atom: Any) -> bool:
    return not _is_key(atom) and atom.aval.size * atom.aval.dtype.itemsize >= LARGE


def _draws(jaxpr: Any) -> bool:
    return any(
        equation.primitive in DRAWS or (_opens(equation) and _draws(equation.params["jaxpr"].jaxpr))
        for equation in jaxpr.eqns
    )


def _constants_and_carried(scan: Any) -> tuple[int, int]:
    """How many inputs every trip gets alike, and how many it gets from the one before."""
    rank = lambda atom: len(atom.aval.shape)
    alike = lambda outer, inner: [rank(a) == rank(b) for a, b in zip(outer, inner, strict=True)]
    body = scan.params["jaxpr"].jaxpr  # what is stacked has one more axis outside than inside
    carried = alike(scan.outvars, body.outvars).count(True)
    return alike(scan.invars, body.invars).count(True) - carried, carried


def _scan(scan: Any, values: list[Any], outputs: Sequence[bool]) -> Sequence[Any]:
    """Trip by trip."""
    body, length = scan.params["jaxpr"], scan.params["length"]
    constants, carried = _constants_and_carried(scan)
    wanted = _of_every_trip(scan, outputs)
    alike, now = values[:constants], values[constants : constants + carried]
    stacked = values[constants + carried :]
    trips: list[list[Any]] = [[] for _ in range(length)]
    for trip in reversed(range(length)) if scan.params["reverse"] else range(length):
        own = [None if x is None else x[trip] for x in stacked]
        results = _results(body, [*alike, *now, *own], wanted)
        now, trips[trip] = results[:carried], results[carried:]
    stack = lambda each: None if each[0] is None else np.stack(each)
    return now + [stack(each) for each in zip(*trips, strict=True)]


def _by_jax(equation: Any, values: Sequence[Any]) -> list[Any]:
    """One equation as it stands."""
    given = [
        jax.random.wrap_key_data(value, impl=THREEFRY) if _is_key(atom) else value
        for atom, value in zip(equation.invars, values, strict=True)
    ]
    primitive = equation.primitive
    results = primitive.bind(*given, **primitive.get_bind_params(equation.params))
    return [_held(x) for x in (results if primitive.multiple_results else [results])]


def _is_key(atom: Any) -> bool:
    return jax.dtypes.issubdtype(getattr(atom.aval, "dtype", None), jax.dtypes.prng_key)
