"""What an encoder says of images, for models of one latent and of many; and lines through codes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.dists import Normal
from vdp.errors import UserError, choose_from, shown
from vdp.types import AnyArray, Encoding, Shape, Stochastic


class Code(dict[str, Normal]):
    """The posteriors q(z|x) of N images, by the names of the latents, top first.

    `code["z_3"]` is the `dists.Normal` over one latent, [N, *shape]. A flat model has one, "z",
    whose `mean` and `log_var` are those of the code itself. A hierarchy has "u", where there are
    pseudo-inputs, and "z_L".."z_1", each at the means of all above it.
    """

    def __missing__(self, name: object) -> Normal:
        raise KeyError(str(choose_from("latent", name, self)))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {list(q.mean.shape)}" for name, q in self.items())
        return f"Code({shapes})"

    @property
    def names(self) -> tuple[str, ...]:
        """The latents, top first."""
        return tuple(self)

    @property
    def means(self) -> dict[str, Float[np.ndarray, "n *z"]]:
        """The mean of every latent, [N, *shape]."""
        return {name: np.asarray(q.mean) for name, q in self.items()}

    @property
    def log_vars(self) -> dict[str, Float[np.ndarray, "n *z"]]:
        """The log-variance of every latent, [N, *shape]."""
        return {name: np.asarray(q.log_var) for name, q in self.items()}

    @property
    def mean(self) -> Float[np.ndarray, "n *z"]:
        """The mean of the only latent, [N, *latent_shape]; UserError where there are several."""
        return np.asarray(self._only.mean)

    @property
    def log_var(self) -> Float[np.ndarray, "n *z"]:
        """The log-variance of the only latent; UserError where there are several."""
        return np.asarray(self._only.log_var)

    def sample(self, eps: Float[AnyArray, "n *z"]) -> Float[AnyArray, "n *z"]:
        """Draws mean + std * eps of the only latent, for standard normal `eps` of its shape."""
        return self._only.sample(eps)

    @property
    def _only(self) -> Normal:
        if len(self) > 1:
            first, last = self.names[0], self.names[-1]
            raise UserError(
                f"this code has {len(self)} latents, {first} to {last}: name one of "
                f'them, as in code["{last}"].mean, or take code.means'
            )
        return next(iter(self.values()))


def of(q: Any, model: Encoding, x_shape: Shape) -> Code:
    """What a model's `encode` has returned, as a `Code`, with its latents top first.

    Args:
      q: a Normal, or several by name in any order (jax sorts names).
      model: whose they are.
      x_shape: (H, W, C) of an image.
    """
    if not isinstance(q, Mapping):
        return Code({"z": q})
    below = {}
    if isinstance(model, Stochastic):
        below = {row["name"]: q[row["name"]] for row in model.latent_table(x_shape)}
    return Code({name: q[name] for name in q if name not in below} | below)


def moved(
    z: Float[np.ndarray, "n *z"], latent: int | np.integer | Sequence[int], values: Sequence[float]
) -> Float[np.ndarray, "n v *z"]:
    """Codes in which one number has each of the values in turn, [N, V, *latent_shape].

    Args:
      z: codes [N, *latent_shape].
      latent: which number: its index in the code as a row, or its place in a map.
      values: V of them, in the units of the code.

    Raises:
      UserError: there is no such number, or no value.
    """
    shape, steps = z.shape[1:], np.asarray(values, np.float32)
    size = math.prod(shape)
    try:
        place = tuple(np.atleast_1d(latent))
        index = int(np.ravel_multi_index(place, shape if len(place) > 1 else (size,)))
    except (TypeError, ValueError):  # as where it lies outside
        or_place = f", or a place in {list(shape)}" if len(shape) > 1 else ""
        raise UserError(
            f"latent={shown(latent)} is not one number of this code: give its index, 0 to "
            f"{size - 1}{or_place}"
        ) from None
    if steps.ndim != 1 or not len(steps) or not np.isfinite(steps).all():
        raise UserError("values are the numbers that the latent takes in turn: give one or more")
    turned = np.repeat(z.reshape(len(z), 1, size), len(steps), axis=1)
    turned[:, :, index] = steps
    return turned.reshape(len(z), len(steps), *shape)
