"""What a search may choose: `log(1e-4,1e-2)`, `uniform(0,0.2)`, `int(2,6)`, or a list of values."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch import points
from vdp.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMS = {  # name: (type of the ends, uniform in the logarithm)
    "uniform": (float, False),
    "log": (float, True),
    "int": (int, False),
    "logint": (int, True),
}
RANGE = re.compile(rf"({'|'.join(FORMS)})\(([^,()]+),([^,()]+)\)")
DIGITS = 5  # of a number that a range gives


def optuna() -> Any:
    """The library, without what it says of every trial; UserError where it is not installed."""
    try:
        import optuna as library
    except ImportError as error:
        raise UserError("a search needs optuna: pip install -e '.[search]'") from error
    library.logging.set_verbosity(library.logging.ERROR)
    return library


def parse(texts: Sequence[str]) -> "dict[str, BaseDistribution]":
    """{key: what it may be} of the --space flags.

    Raises:
      UserError: none, a form that is not known, or a range without values.
    """
    space = points.keyed("--space", texts)
    if not space:
        raise UserError(
            "--space is missing: what to choose, as '--space=optim.learning_rate=log(1e-4,1e-2)'"
        )
    return {key: _distribution(key, text) for key, text in space.items()}


def _distribution(key: str, text: str) -> "BaseDistribution":
    kinds = optuna().distributions
    flag = f"--space={key}={text}"
    if match := RANGE.fullmatch(text.replace(" ", "")):
        name, *ends = match.groups()
        type_of, log = FORMS[name]
        make = kinds.IntDistribution if type_of is int else kinds.FloatDistribution
        try:
            low, high = map(type_of, ends)
            if not low < high:
                raise ValueError("the first number has to be below the second")
            if not math.isfinite(high - low):
                raise ValueError("its ends have to be finite")
            return make(low, high, log=log)
        except ValueError as error:
            raise UserError(f"{flag} is no range: {str(error).rstrip('.')}") from error
    values = points.split_values(text)
    is_range = text.startswith(tuple(f"{name}(" for name in FORMS))  # but not a whole one
    if not key or is_range or not all(values) or len(set(values)) < len(values):
        forms = ", ".join(f"{name}(A,B)" for name in FORMS)
        raise UserError(f"{flag} needs KEY={forms}, or KEY=VALUE,VALUE,... of different values")
    return kinds.CategoricalDistribution(values)


def written(
    values: Mapping[str, Any], distributions: "Mapping[str, BaseDistribution]"
) -> dict[str, str]:
    """Chosen values as the command line has them; a number that is rounded stays in its range."""
    texts = {}
    for key, value in values.items():
        if isinstance(value, float):
            of = distributions[key]
            short = f"{value:.{DIGITS}g}"
            inside = getattr(of, "low", value) <= float(short) <= getattr(of, "high", value)
            texts[key] = short if inside else repr(value)
        else:
            texts[key] = str(value)
    return texts


def tried(distribution: "BaseDistribution") -> list[Any]:
    """Values that show whether a config takes them: all of a list; ends of a range, one inside."""
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return list(choices)
    low, high = (getattr(distribution, end) for end in ("low", "high"))
    inside = low + 0.382 * (high - low)  # no round number
    return [low, high, int(inside) if isinstance(low, int) else inside]
