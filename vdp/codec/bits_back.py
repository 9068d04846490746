"""A latent that is borrowed from the bits of others: -log p(x|z) - log p(z) + log q(z|x)."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from vdp.codec.stack import Stack


@runtime_checkable
class Coder(Protocol):
    """A distribution: `pop` gives back what the last `push` under it was given, and its bits."""

    def push(self, stack: Stack, value: Any) -> None:
        """Pushes one value."""
        ...

    def pop(self, stack: Stack) -> Any:
        """Pops one value."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitsBack:
    """The marginal of x under p(z) p(x|z), with q(z|x) in place of the true posterior.

    Attributes:
      prior: p(z).
      likelihood: from z to p(x|z).
      posterior: from x to q(z|x).
    """

    prior: Coder
    likelihood: Callable[[Any], Coder]
    posterior: Callable[[Any], Coder]

    def push(self, stack: Stack, value: Any) -> None:
        """Borrows z, pushes x given it, then z, which gives the borrowed bits back."""
        z = self.posterior(value).pop(stack)
        self.likelihood(z).push(stack, value)
        self.prior.push(stack, z)

    def pop(self, stack: Stack) -> Any:
        """Undoes `push`: z, then x, then z goes back to where it was borrowed."""
        z = self.prior.pop(stack)
        value = self.likelihood(z).pop(stack)
        self.posterior(value).push(stack, z)
        return value
