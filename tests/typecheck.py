"""How annotations are checked while tests run: beartype for types, jaxtyping for axes.

`__init__` is left out: jax rebuilds pytrees with whatever it carries through a transformation.
A function inside a function is checked as it is first made in a process, and not each time again:
writing its checks takes two milliseconds, and there are thousands of them.
"""

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is expected
_seen = set()


def checked(function):
    if function.__name__ == "__init__":
        return function
    code = getattr(function, "__code__", None)
    if code in _seen:
        return function
    if "<locals>" in function.__qualname__:
        _seen.add(code)
    return _beartype(function)
