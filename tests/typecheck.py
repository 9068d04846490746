"""How annotations are checked while tests run: beartype for types, jaxtyping for axes.

`__init__` is left out: jax rebuilds pytrees with whatever it carries through a transformation.
"""

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is expected


def checked(function):
    return function if function.__name__ == "__init__" else _beartype(function)
