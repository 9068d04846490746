"""Functions that draw much and compute little, such as the start of parameters, without a compiler.

As one program the start of a hierarchy has hundreds of draws, each a loop of its own, and compiles
for half a minute on a CPU to run for a tenth of a second. Here its equations are evaluated with
numpy, those alone that the results need: the networks that are traced for their parameters' shapes
never run. The random bits are jax's own; what is made of them may differ by a rounding from the
compiled function.
"""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special
from jax.extend import core
from jax.extend.core import primitives

from vdp.types import Array

THREEFRY = "threefry2x32"
Numbers = Any  # arrays of numpy, or its scalars
DRAWS = (primitives.random_fold_in_p, primitives.random_split_p, primitives.random_bits_p)
ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)


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
        sources = [_known(_held(x)) for x in arrays]
        results = [value.get() for value in _results(closed, sources)]
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return run


class _Value:
    """A value that is known, or made of others when it is first asked for."""

    def __init__(self, make: Callable[..., Any], *of: "_Value") -> None:
        self._make, self._of, self._made = make, of, False
        self._value: Any = None

    def get(self) -> Any:
        """The value; what it needs is computed first, without recursion: chains may be long."""
        asked = [self]
        while asked:
            last = asked[-1]
            if not last._made and (missing := [value for value in last._of if not value._made]):
                asked += missing
                continue
            asked.pop()
            if not last._made:
                last._value, last._made = last._make(*(value._value for value in last._of)), True
                last._of = ()
        return self._value


def _known(value: Any) -> _Value:
    return _Value(lambda: value)


def _held(x: Any) -> Any:
    """As numpy has it, a key as its words, uint32 [..., 2]."""
    is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if is_key else x)


def _results(closed: Any, sources: Sequence[_Value]) -> list[_Value]:
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, (_known(_held(x)) for x in closed.consts), strict=True))
    known |= dict(zip(jaxpr.invars, sources, strict=True))

    def of(atom: Any) -> _Value:
        if isinstance(atom, core.Literal):
            aval: Any = atom.aval
            return _known(np.asarray(atom.val, aval.dtype))
        return known[atom]

    for equation in jaxpr.eqns:
        results = _equation(equation, [of(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


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


def _equation(equation: Any, sources: Sequence[_Value]) -> Sequence[_Value]:
    if equation.primitive is primitives.jit_p:
        return _results(equation.params["jaxpr"], sources)
    if equation.primitive is primitives.scan_p and _draws(equation.params["jaxpr"].jaxpr):
        return _scan(equation, sources)
    rule = RULES.get(equation.primitive.name)

    def compute(*values: Any) -> Sequence[Any]:
        if rule is None:
            return _by_jax(equation, values)
        with np.errstate(over="ignore"):  # words wrap around, of which numpy warns for scalars
            return [np.asarray(rule(equation, *values))]

    return _each(_Value(compute, *sources), len(equation.outvars))


def _each(together: _Value, number: int) -> list[_Value]:
    """The values of a sequence, each as it is asked for; an array's are its slices."""
    return [_Value(operator.itemgetter(i), together) for i in range(number)]


def _draws(jaxpr: Any) -> bool:
    return any(
        equation.primitive in DRAWS or (_opens(equation) and _draws(equation.params["jaxpr"].jaxpr))
        for equation in jaxpr.eqns
    )


def _scan(equation: Any, sources: Sequence[_Value]) -> Sequence[_Value]:
    """Trip by trip. What is stacked has one more axis outside than inside; the rest is carried."""
    body, length = equation.params["jaxpr"], equation.params["length"]
    rank = lambda atom: len(atom.aval.shape)
    stacked = lambda outer, inner: [rank(a) > rank(b) for a, b in zip(outer, inner, strict=True)]
    sliced = stacked(equation.invars, body.jaxpr.invars)
    carried = stacked(equation.outvars, body.jaxpr.outvars).count(False)
    constants = sliced.count(False) - carried
    given = [
        _each(x, length) if cut else [x] * length for x, cut in zip(sources, sliced, strict=True)
    ]
    now = [*sources[constants : constants + carried]]
    trips: list[list[_Value]] = [[] for _ in range(length)]
    for trip in reversed(range(length)) if equation.params["reverse"] else range(length):
        inputs = [x[trip] for x in given]
        inputs[constants : constants + carried] = now
        results = _results(body, inputs)
        now, trips[trip] = results[:carried], results[carried:]
    stack = lambda *values: np.stack(values)
    return now + [_Value(stack, *values) for values in zip(*trips, strict=True)]


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


def _hash(keys: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    """Threefry-2x32 of 20 rounds (Salmon et al. 2011) of keys [..., 2] and counters (0, count)."""
    first, second = keys[..., 0], keys[..., 1]
    schedule = first, second, first ^ second ^ np.uint32(0x1BD11BDA)
    x, y = first + np.uint32(0) * counts, second + counts
    for turn in range(5):
        for by in ROTATIONS[turn % 2]:
            x = x + y
            y = ((y << np.uint32(by)) | (y >> np.uint32(32 - by))) ^ x
        x = x + schedule[(turn + 1) % 3]
        y = y + schedule[(turn + 2) % 3] + np.uint32(turn + 1)
    return x, y


def _counted(equation: Any, keys: Numbers) -> tuple[Numbers, Numbers]:
    """A key's numbers are the hashes of 0, 1, 2, ..."""
    shape = equation.params["shape"]
    counts = np.arange(np.prod(shape, dtype=int), dtype=np.uint32).reshape(shape)
    return _hash(keys.reshape((*keys.shape[:-1], *(1 for _ in shape), 2)), counts)


def _bits(equation: Any, keys: Numbers) -> Numbers:
    x, y = _counted(equation, keys)
    width = equation.params["bit_width"]
    if width == 64:
        return x.astype(np.uint64) << np.uint64(32) | y
    return (x ^ y).astype(f"uint{width}")


def _broadcast(equation: Any, x: Numbers) -> Numbers:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    own = [1] * len(shape)
    for axis, size in zip(axes, x.shape, strict=False):
        own[axis] = size
    rest = x.shape[len(axes) :]  # the words of a key
    return np.broadcast_to(x.reshape((*own, *rest)), (*shape, *rest))


def _slice(equation: Any, x: Numbers) -> Numbers:
    params = equation.params
    strides = params["strides"] or (1,) * len(params["start_indices"])
    ends = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*end) for end in ends)]


def _reshape(equation: Any, x: Numbers) -> Numbers:
    rest = x.shape[len(equation.invars[0].aval.shape) :]
    return x.reshape((*equation.params["new_sizes"], *rest))


RULES: Mapping[str, Callable[..., Any]] = {
    "random_wrap": lambda _, words: words,
    "random_unwrap": lambda _, words: words,
    "random_fold_in": lambda _, keys, data: np.stack(_hash(keys, data.astype(np.uint32)), axis=-1),
    "random_split": lambda equation, keys: np.stack(_counted(equation, keys), axis=-1),
    "random_bits": _bits,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": lambda equation, x: x.squeeze(tuple(equation.params["dimensions"])),
    "copy": lambda _, x: x.copy(),
    "convert_element_type": lambda equation, x: x.astype(equation.params["new_dtype"]),
    "bitcast_convert_type": lambda equation, x: x.view(equation.params["new_dtype"]),
    "shift_right_logical": lambda _, x, by: x >> by,
    "or": lambda _, x, y: x | y,
    "add": lambda _, x, y: x + y,
    "sub": lambda _, x, y: x - y,
    "mul": lambda _, x, y: x * y,
    "max": lambda _, x, y: np.maximum(x, y),
    "min": lambda _, x, y: np.minimum(x, y),
    "erf_inv": lambda _, x: scipy.special.erfinv(x),
}
