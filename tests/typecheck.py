"""How annotations of `vdp` are checked while tests run: see `--jaxtyping-packages` in pyproject."""

import beartype

_check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # int for float


def checked(function):
    """Checks arguments and results of a function, but not of `__init__`.

    jax rebuilds a dataclass that is a pytree with whatever its leaves have become: shapes,
    shardings, booleans.
    """
    return function if function.__name__ == "__init__" else _check(function)
