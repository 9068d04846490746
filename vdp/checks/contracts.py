"""The components of a model: where they stand, how they are called, and what they give back."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vdp.checks import outputs
from vdp.errors import UNEXPECTED, Fault, UserError, first_line
from vdp.types import DiffusionLike, Model, OverPrior, Shape


class Part(NamedTuple):
    """A component of a model: the room it comes from, its name, and where it stands."""

    room: str  # "prior", "encoder", ...
    name: str  # as the config has it
    path: str  # below config.model, "prior.denoiser"

    @property
    def outside(self) -> bool:
        """Whether it is one of the user's own."""
        return "." in self.name

    def __str__(self) -> str:
        return f"{self.room} {self.name} (config.model.{self.path})"

    def of(self, model: Model) -> Any:
        """The object itself."""
        component: Any = model
        for name in self.path.split("."):
            component = getattr(component, name, None)
        return component


def parts(spec: Mapping[str, Any], path: str = "") -> Iterator[Part]:
    """Every component under the spec of a model."""
    for key, value in spec.items():
        if isinstance(value, Mapping) and "name" in value:
            yield Part(key, value["name"], f"{path}{key}")
            yield from parts(value, f"{path}{key}.")


def check(model: Model, spec: Mapping[str, Any], x_shape: Shape) -> None:
    """Traces a model's start, and what components from outside give back; nothing is computed.

    Args:
      model: built of `spec`.
      spec: of the model.
      x_shape: (H, W, C) of the images.

    Raises:
      UserError, Fault: as of `check_outside`.
    """
    for field, call in calls(model, x_shape).items():
        if call.given != call.wanted:
            where = f" (config.model.{field})" if isinstance(field, str) else ""
            raise UserError(
                f"the network {call.network}{where} gives {call.given} for an input of shape "
                f"{call.x_shape} where {call.wanted} is needed"
            )
    if "." in spec["name"]:
        with _blaming(f"model {spec['name']} (config.model)", x_shape):
            outputs.of_model(model, x_shape)
    check_outside(model, spec, x_shape)


@contextlib.contextmanager
def _blaming(what: str, x_shape: Shape) -> Iterator[None]:
    """Names what the errors of the block are of."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except UNEXPECTED as error:
        failed = f"{type(error).__name__}: {first_line(error)}"
        raise Fault(f"{what} fails for images of shape {tuple(x_shape)}: {failed}") from error


def check_outside(model: Model, spec: Mapping[str, Any], x_shape: Shape) -> None:
    """As `check`, of priors, likelihoods and pseudo-inputs from outside alone.

    Raises:
      UserError: a method gives another shape or type than `vdp.types` says; it is named.
      Fault: a method takes other arguments or fails.
    """
    for part in filter(lambda part: part.outside, parts(spec)):
        with _blaming(str(part), x_shape):
            if part.room == "prior" and isinstance(model, OverPrior):
                prior = part.of(model)
                merged = isinstance(prior, DiffusionLike) and prior.merged
                outputs.of_prior(prior, model.prior_shape(x_shape), x_shape, merged=merged)
            elif part.room == "likelihood":
                outputs.of_likelihood(part.of(model), x_shape)
            elif part.room == "pseudoinput":
                outputs.of_pseudoinput(part.of(model), x_shape)


class Call(NamedTuple):
    """How a model calls a network: x and the shape it asks for, or of a denoiser x and times."""

    network: str
    x_shape: tuple[int, ...]
    out_shape: tuple[int, ...] | None  # None: a denoiser
    given: str  # shape and type
    wanted: str


def calls(model: Model, x_shape: Shape) -> dict[Any, Call]:
    """{field of the model, or network: how it is called} while parameters are made.

    Networks that are called otherwise than with x and a shape, or x and times, are left out.
    """
    told_apart: Any = model
    if dataclasses.is_dataclass(told_apart):
        fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(told_apart)}
        # two networks with equal fields are equal: their names tell them apart
        named = {n: v.clone(name=n) for n, v in fields.items() if isinstance(v, nn.Module)}
        told_apart = dataclasses.replace(told_apart, **named)  # type: ignore[type-var]
    seen: dict[Any, Call] = {}

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        module = context.module
        if context.method_name != "__call__" or module.scope.path or len(args) != 2:
            return result
        x, second = args
        key = module.name or module.clone(parent=None)
        text = lambda shape, dtype: f"{tuple(shape)} {dtype}"
        given = text(result.shape, result.dtype) if hasattr(result, "shape") else type(result)
        if isinstance(second, tuple) and all(isinstance(size, int) for size in second):
            wanted, out = (len(x), *second), second
        elif getattr(second, "shape", None) == x.shape[:1]:
            wanted, out = x.shape, None
        else:
            return result
        seen[key] = Call(
            type(module).__name__, x.shape[1:], out, str(given), text(wanted, jnp.dtype("float32"))
        )
        return result

    with nn.intercept_methods(record):
        jax.eval_shape(lambda: told_apart.init(jax.random.key(0), tuple(x_shape)))
    return seen
