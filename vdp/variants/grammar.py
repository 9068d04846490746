"""The grammar of a config's argument: `--config=FILE:word,key=value`."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from vdp.errors import UserError, did_you_mean

ANY_NAME = "MODULE.NAME"  # among the choices: any name with a dot is one as well
ANY_SIZE = {"latent": "model.latent_shape"}  # the config's field behind a key: it takes any size
CHOSEN_BY_CONFIG = (0, "auto")  # values that only stand for what the config chooses by itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What may follow the colon of a config's name.

    Attributes:
      words: bare words that switch something on.
      keys: for each key the accepted values, the default first.
    """

    words: tuple[str, ...]
    keys: Mapping[str, Sequence]


_seen: contextvars.ContextVar[list[Choices] | None] = contextvars.ContextVar("seen", default=None)


@contextlib.contextmanager
def listening() -> Iterator[list[Choices]]:
    """Yields a list that takes the choices of every config that runs meanwhile."""
    seen: list[Choices] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


class Variant(dict):
    """A parsed config argument: `variant["prior"]`, `variant.has("smoke")`."""

    def has(self, word: str) -> bool:
        """Whether the bare word stood in the argument."""
        return bool(self.get(word))


def parse(
    arg: str | None,
    *,
    words: Sequence[str] = ("smoke",),
    choices: Mapping[str, Sequence] | None = None,
) -> Variant:
    """Parses `word,key=value,...` in any order.

    Args:
      arg: what follows the colon of `--config=FILE:ARG`; None and "" mean no variant.
      words: bare words that switch something on.
      choices: for each key the accepted values, the default first; integers stay integers, and
        ANY_NAME stands for a component of one's own.

    Returns:
      A Variant with every word (True or False) and every key (the default where not given).

    Raises:
      UserError: an unknown or repeated word, key or value; the message lists what exists, or names
        the field of the config that takes any size.
    """
    choices = dict(choices or {})
    if (seen_by := _seen.get()) is not None:
        seen_by.append(Choices(words=tuple(words), keys=choices))
    result = Variant({word: False for word in words})
    result.update({key: values[0] for key, values in choices.items()})
    listed = {
        key: [v for v in values if v not in CHOSEN_BY_CONFIG] for key, values in choices.items()
    }
    exists = ", ".join([*words, *(f"{k}={'|'.join(map(str, v))}" for k, v in listed.items())])
    known = [*words, *(f"{key}={value}" for key, values in listed.items() for value in values)]
    seen = set()
    for item in filter(None, (part.strip() for part in (arg or "").split(","))):
        key, has_value, text = item.partition("=")
        if key in seen:
            raise UserError(f"variant {key!r} is given twice; there is: {exists}")
        seen.add(key)
        if not has_value and key in words:
            result[key] = True
            continue
        values = {str(value): value for value in listed.get(key, ())}
        named = ANY_NAME in values and "." in text
        if not has_value or not (text in values or named) or text == ANY_NAME:
            if key in ANY_SIZE and key in listed and text.isdecimal() and int(text):
                sizes = ", ".join(values)
                raise UserError(
                    f"variant {key} is one of {sizes}: for another size set the field "
                    f"config.{ANY_SIZE[key]}={text}, which takes any"
                )
            hint = did_you_mean(item, known)
            raise UserError(f"unknown variant {item!r}{hint}; there is: {exists}")
        result[key] = values.get(text, text)
    return result
