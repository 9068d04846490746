"""Shapes and types of what components give back, from shapes alone: nothing is computed.

An array of [B, 1] where [B] is meant is broadcast by everything that follows and gives another
number without a word; so these are looked at before anything is built on them.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vdp.dists import Normal
from vdp.errors import UserError
from vdp.runtime.trees import leaf_name
from vdp.types import Aux, Batch, Likelihood, Model, Prior, PseudoInput, Shape, Terms

BATCH = 3
KEY = jax.eval_shape(jax.random.key, 0)  # no computation where modules are imported


def _expect(value: Any, shape: Shape, method: str, *, kind: Any = jnp.floating) -> None:
    shape = tuple(shape)
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise UserError(f"{method} gives {type(value).__name__} where an array {shape} is needed")
    if value.shape != shape:
        raise UserError(
            f"{method} gives the shape {value.shape} for a batch of {BATCH} where {shape} is needed"
        )
    if not jnp.issubdtype(value.dtype, kind):
        raise UserError(f"{method} gives {value.dtype} where {kind.__name__} numbers are needed")


def _expect_nats(value: Any, method: str) -> None:
    _expect(value, (BATCH,), method)
    if value.dtype != jnp.float32:
        raise UserError(f"{method} gives {value.dtype} where float32 is needed: sum in float32")


def _expect_terms(terms: Any, method: str) -> None:
    if not isinstance(terms, Terms):
        raise UserError(f"{method} gives {type(terms).__name__} where vdp.types.Terms are needed")
    _expect_nats(terms.value, f"the value of {method}")
    for name, part in terms.parts.items():
        _expect_nats(part, f"the part {name!r} of {method}")


def _pair(value: Any, method: str, what: str) -> tuple:
    if not isinstance(value, tuple) or len(value) != 2:
        raise UserError(f"{method} gives {type(value).__name__} where {what} is needed")
    return value


def _expect_parameters(params: Any, stats: Any) -> None:
    for what, tree in (("params", params), ("stats", stats)):
        if not isinstance(tree, Mapping):
            raise UserError(f"init gives {type(tree).__name__} for {what} where a dict is needed")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        kind = jnp.result_type(leaf)
        if not jnp.issubdtype(kind, jnp.floating):
            raise UserError(
                f"init gives {kind} for the parameter {leaf_name(path)}, which no gradient trains: "
                "numbers that stay as they are stand in stats"
            )


def normal(shape: Shape) -> Normal:
    """A batch of posteriors over latents of that shape, as shapes."""
    moment: Any = jax.ShapeDtypeStruct((BATCH, *shape), jnp.float32)
    return Normal(moment, moment)


def of_prior(prior: Prior, z_shape: Shape, x_shape: Shape, *, merged: bool = False) -> None:
    """Traces every method of a prior over latents of `z_shape` and looks at what it gives.

    Args:
      prior: any that keeps `vdp.types.Prior`.
      z_shape: of one latent.
      x_shape: (H, W, C) of the images that `encode` takes.
      merged: whether it is in the merged form, where a latent has no bound but the ODE's.

    Raises:
      UserError: a shape or type is not what `vdp.types.Prior` says; the method is named.
    """

    def encode(images):
        if images.ndim != 4 or images.shape[1:] != tuple(x_shape):
            raise UserError(f"encode was given {images.shape} where images [N, H, W, C] are needed")
        means = images.mean((1, 2, 3))[(...,) + (None,) * len(z_shape)]
        moments = jnp.broadcast_to(means, (len(images), *z_shape))
        return Normal(moments, moments)

    def all_methods(rng, q):
        params, stats = _pair(
            prior.init(rng, tuple(z_shape), x_shape=tuple(x_shape)), "init", "(params, stats)"
        )
        _expect_parameters(params, stats)
        drawn = _pair(prior.rate(params, stats, q, rng, encode=encode), "rate", "(z, Terms)")
        weight = _pair(
            prior.log_prob_weight(params, stats, q, rng, encode=encode),
            "log_prob_weight",
            "(z, log-weight)",
        )
        dense: Any = prior.as_ode() if merged else prior  # type: ignore[attr-defined]
        bound = dense.log_prob_bound(params, stats, q.mean, rng, encode=encode)
        samples = prior.sample(params, stats, rng, BATCH, z_shape=tuple(z_shape), encode=encode)
        return drawn, weight, bound, samples

    (z, terms), (z_weighed, weight), bound, samples = _shapes(all_methods, KEY, normal(z_shape))
    shape = (BATCH, *z_shape)
    _expect(z, shape, "the z of rate")
    _expect_terms(terms, "rate")
    _expect(z_weighed, shape, "the z of log_prob_weight")
    _expect_nats(weight, "the weight of log_prob_weight")
    _expect_terms(bound, "log_prob_bound")
    _expect(samples, shape, "sample")


def of_pseudoinput(pseudoinput: PseudoInput, x_shape: Shape) -> None:
    """Traces the methods of a pseudo-input of images of that shape, as `of_prior` does.

    Raises:
      UserError: a shape or type is not what `vdp.types.PseudoInput` says; the method is named.
    """
    u_shape = tuple(pseudoinput.shape(tuple(x_shape)))
    if u_shape[:2] != (pseudoinput.size, pseudoinput.size) or len(u_shape) != 3:
        raise UserError(
            f"shape gives {u_shape} where (size, size, C) of size={pseudoinput.size} is needed"
        )

    def all_methods(rng, images, u):
        params, stats = _pair(pseudoinput.init(rng, tuple(x_shape)), "init", "(params, stats)")
        _expect_parameters(params, stats)
        code = pseudoinput.apply(params, stats, images)
        return code, pseudoinput.back(params, stats, u, tuple(x_shape))

    images = jax.ShapeDtypeStruct((BATCH, *x_shape), jnp.float32)
    u = jax.ShapeDtypeStruct((BATCH, *u_shape), jnp.float32)
    code, back = _shapes(all_methods, KEY, images, u)
    _expect(code, (BATCH, *u_shape), "apply")
    _expect(back, (BATCH, *x_shape), "back")


def of_model(model: Model, x_shape: Shape) -> None:
    """Traces the loss of a model of images of that shape.

    Raises:
      UserError: it is not (loss [B], Aux), each of a float32 for every image.
    """

    def loss(rng, images, labels):
        batch = Batch(target=images, input=images, label=labels)
        params, stats = _pair(model.init(rng, tuple(x_shape)), "init", "(params, stats)")
        _expect_parameters(params, stats)
        noise = model.draw(rng, batch, purpose="loss")
        return model.loss(params, stats, batch, rng, step=0, train=True, noise=noise)

    images = jax.ShapeDtypeStruct((BATCH, *x_shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((BATCH,), jnp.int32)
    value, aux = _pair(_shapes(loss, KEY, images, labels), "loss", "(loss, Aux)")
    _expect_nats(value, "the value of loss")
    if not isinstance(aux, Aux):
        raise UserError(f"loss gives {type(aux).__name__} where vdp.types.Aux is needed")
    _expect_terms(aux.terms, "loss")


def of_likelihood(likelihood: Likelihood, x_shape: Shape) -> None:
    """Traces every method of a likelihood of images of that shape, as `of_prior` does.

    Raises:
      UserError: a shape or type is not what `vdp.types.Likelihood` says; the method is named.
    """
    height, width, channels = x_shape
    numbers = {
        name: getattr(likelihood, name)(channels) for name in ("num_features", "num_outputs")
    }
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise UserError(f"{name} gives {number!r} where a number of channels is needed")

    def all_methods(rng, features, levels):
        outputs = likelihood.attach(likelihood.init(), features)
        log_prob = likelihood.log_prob(outputs, levels)
        return outputs, log_prob, likelihood.sample(outputs, rng), likelihood.mean(outputs)

    images = (BATCH, height, width, channels)
    features = jax.ShapeDtypeStruct((*images[:3], numbers["num_features"]), jnp.float32)
    levels = jax.ShapeDtypeStruct(images, jnp.uint8)
    outputs, log_prob, samples, mean = _shapes(all_methods, KEY, features, levels)
    _expect(outputs, (*images[:3], numbers["num_outputs"]), "attach")
    _expect_nats(log_prob, "log_prob")
    _expect(samples, images, "sample", kind=jnp.integer)
    _expect(mean, images, "mean")


def _shapes(function, *arguments) -> Any:
    """`jax.eval_shape`, for results that may hold what is no array."""
    box = []

    def arrays(*arguments):
        result = function(*arguments)
        box.append(jax.tree.map(_struct, result, is_leaf=lambda x: isinstance(x, Terms)))
        return ()

    jax.eval_shape(arrays, *arguments)
    return box[0]


def _struct(value: Any) -> Any:
    if isinstance(value, Terms):
        parts = {name: _struct(part) for name, part in value.parts.items()}
        return Terms(value=_struct(value.value), parts=parts)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return value
