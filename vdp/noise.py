"""Noise: everything random of one estimate or sample, as a structure that says what it is.

A function looks at the type of the noise it is given and never at what happens to be in it: an
estimate has the structures that it can be made of, and refuses all others by `expect`. They are in
`vdp.diffusion.noise` (of a diffusion), `vdp.priors.noise` (of a prior) and `vdp.models.noise` (of a
model).
"""

from typing import TypeVar, dataclass_transform

import chex

from vdp.errors import UserError
from vdp.types import Array, Key, Noise, Shape

Structure = TypeVar("Structure")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def structure(cls: type[Structure]) -> type[Structure]:
    """The decorator of every noise: a pytree that jit, vmap and sharding constraints go through."""
    return chex.dataclass(cls, frozen=True, mappable_dataclass=False, kw_only=True)


def expect_shape(drawn: Array, shape: Shape, *, by: str) -> None:
    """Raises UserError unless an array of a noise has the shape that a sample needs.

    Args:
      drawn: the array.
      shape: that is needed.
      by: what is made of it, as the subject of a sentence.
    """
    if drawn.shape != tuple(shape):
        raise UserError(
            f"{by} needs noise of the shape {tuple(shape)}, not {drawn.shape}: draw it for as many "
            "samples, and as many steps, as are to be made of it"
        )


def required(rng: Key | None, *, by: str, noise: bool = True) -> Key:
    """The key that noise is drawn with where none is given; UserError where there is no key.

    Args:
      rng: a key or None.
      by: the estimate, as the subject of a sentence.
      noise: whether a noise could stand in its place.
    """
    if rng is None:
        raise UserError(f"{by} needs a key" + (", or `noise=` in its place" if noise else ""))
    return rng


def expect(noise: Noise, *accepted: type, by: str, instead: str) -> None:
    """Raises UserError unless `noise` is one of the structures `accepted`.

    Args:
      noise: what was given.
      accepted: what the estimate can be made of.
      by: the estimate, as the subject of a sentence.
      instead: where the noise that it takes comes from.
    """
    if not isinstance(noise, accepted):
        names = " or ".join(kind.__name__ for kind in accepted)
        raise UserError(f"{by} is made of {names}, not of {type(noise).__name__}: {instead}")
