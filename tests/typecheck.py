"""How annotations are checked while tests run: beartype for types, jaxtyping for axes.

`__init__` is left out: jax rebuilds pytrees with whatever it carries through a transformation.
What is given here is no function of vdp's but one that jaxtyping makes of its arguments, with
nothing inside. Beartype takes two milliseconds to write its checks. A function inside another is
made anew at every call of the outer one, with the same annotations, and gets the same checks again.
"""

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is expected
_made = {}


def checked(function):
    if function.__name__ == "__init__":
        return function
    if isinstance(function, type) or function.__closure__ or function.__defaults__:
        return _beartype(function)
    try:
        key = (function.__code__, function.__qualname__, *function.__annotations__.items())
        if key not in _made:
            _made[key] = _beartype(function)
    except TypeError:  # an annotation that cannot be hashed
        return _beartype(function)
    return _made[key]
