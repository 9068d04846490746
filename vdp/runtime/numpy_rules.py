"""What single equations of a jaxpr compute, by numpy: those that draw numbers, and move them.

A rule takes the equation and its inputs, keys as their words, uint32 [..., 2], and returns the
result or NotImplemented. The random bits are those of jax's threefry keys.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special

Numbers = Any  # arrays of numpy, or its scalars
ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)


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


def _bitcast(equation: Any, x: Numbers) -> Numbers:
    kind = np.dtype(equation.params["new_dtype"])
    return x.view(kind) if kind.itemsize == x.itemsize else NotImplemented


def _dynamic_slice(equation: Any, x: Numbers, *starts: Numbers) -> Numbers:
    sizes = equation.params["slice_sizes"]  # of keys without their words, like the starts
    shape = x.shape[: len(sizes)]
    firsts = [min(max(int(a), 0), n - k) for a, n, k in zip(starts, shape, sizes, strict=True)]
    return x[tuple(slice(a, a + k) for a, k in zip(firsts, sizes, strict=True))]


def _gather(equation: Any, x: Numbers, index: Numbers) -> Numbers:
    params, axes = equation.params, equation.params["dimension_numbers"]
    of_rows = (tuple(range(1, x.ndim)), (0,), (0,), (), ())  # x[i] for a row of numbers i
    is_plain = params["slice_sizes"] == (1, *x.shape[1:]) and index.shape[1:] == (1,)
    if is_plain and tuple(axes) == of_rows and "IN_BOUNDS" in str(params["mode"]):
        return x[np.clip(index[:, 0], 0, len(x) - 1)]
    return NotImplemented


RULES: Mapping[str, Callable[..., Any]] = {
    "random_wrap": lambda _, words: words,
    "random_unwrap": lambda _, words: words,
    "random_fold_in": lambda _, keys, data: np.stack(_hash(keys, data.astype(np.uint32)), axis=-1),
    "random_split": lambda equation, keys: np.stack(_counted(equation, keys), axis=-1),
    "random_bits": _bits,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "squeeze": lambda equation, x: x.squeeze(tuple(equation.params["dimensions"])),
    "copy": lambda _, x: x.copy(),
    "convert_element_type": lambda equation, x: x.astype(equation.params["new_dtype"]),
    "bitcast_convert_type": _bitcast,
    "shift_right_logical": lambda _, x, by: x >> by,
    "or": lambda _, x, y: x | y,
    "add": lambda _, x, y: x + y,
    "sub": lambda _, x, y: x - y,
    "mul": lambda _, x, y: x * y,
    "max": lambda _, x, y: np.maximum(x, y),
    "min": lambda _, x, y: np.minimum(x, y),
    "erf_inv": lambda _, x: scipy.special.erfinv(x),
}
