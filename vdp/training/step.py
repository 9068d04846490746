"""One training step, and a chunk of them in one program; pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float, Int32, Shaped, UInt8

from vdp.data.feeds import take
from vdp.metrics import score
from vdp.training import accumulation
from vdp.training.optim import Optimizer
from vdp.training.state import State
from vdp.types import Array, Batch, Model, Noise, Params, Stats

Scalars = dict[str, Float[Array, ""]]


def loss_and_gradients(
    model: Model, state: State, batch: Batch, rng: Array, *, noise: Noise | None = None
) -> tuple[Scalars, Stats, Params]:
    """(scalar metrics, new stats, gradient) of the mean loss over the batch.

    Args:
      model: what is trained.
      state: whose parameters and stats are used.
      batch: of B images.
      rng: a key, for dropout and the like.
      noise: of `model.draw` for the loss; None draws it from the key.
    """

    def mean_loss(params: Params) -> tuple[Float[Array, ""], tuple[Scalars, Stats]]:
        loss, aux = model.loss(
            params, state.stats, batch, rng, step=state.step, train=True, noise=noise
        )
        means = jax.tree.map(jnp.mean, aux.terms)
        metrics = score.shown(score.score_of(model), means.value, means.parts)
        return jnp.mean(loss), (metrics | means.aside | aux.scalars, aux.stats)

    (loss, (metrics, stats)), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    return {"loss": loss, **metrics}, stats, gradients


def apply_gradients(
    state: State,
    metrics: Scalars,
    stats: Stats,
    gradients: Params,
    *,
    optimizer: Optimizer,
    ema_decay: float,
    ema_warmup: bool = True,
) -> tuple[State, dict[str, Shaped[Array, ""]]]:
    """Updates parameters, optimiser and EMA; a non-finite loss or gradient leaves them as is.

    Args:
      state: before the step.
      metrics: of `loss_and_gradients`, like stats and gradients.
      stats: after the step.
      gradients: of the parameters.
      optimizer: of `vdp.training.optim.make`; state and gradients are packed as it does.
      ema_decay: of the exponential moving average of the parameters.
      ema_warmup: whether the decay is min(ema_decay, (1 + t)/(10 + t)), so that the average of a
        short run is not its initialisation.

    Returns:
      (state after the step, metrics with the bad steps in a row, and the norms of the gradient, of
      the parameters after the step, and of what the step has added to them).
    """
    decay: float | Array = ema_decay
    if ema_warmup:
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)

    def average(new: Any, old: Any) -> Any:
        def of(new: Shaped[Array, "*s"], old: Shaped[Array, "*s"]) -> Shaped[Array, "*s"]:
            if not jnp.issubdtype(old.dtype, jnp.inexact):  # counters, flags: the latest
                return new
            # in this form a constant stays itself to the last bit
            return (old + (1 - decay) * (new - old)).astype(old.dtype)

        return jax.tree.map(of, new, old)

    def advance(old: dict[str, Any], gradients: Params) -> dict[str, Any]:
        updates, opt_state = optimizer.update(gradients, old["opt_state"], old["params"])
        params = optax.apply_updates(old["params"], updates)
        return {
            "params": params,
            "stats": stats,
            "opt_state": opt_state,
            "ema": average(params, old["ema"]),
            "ema_stats": average(stats, old["ema_stats"]),
        }

    fields = ("params", "stats", "opt_state", "ema", "ema_stats")
    old = {name: getattr(state, name) for name in fields}
    new = jax.tree.map(lambda n, o: jnp.where(finite, n, o), advance(old, gradients), old)
    norms = _norms(new["params"], old["params"])
    bad_steps = jnp.where(finite, 0, state.bad_steps + 1)
    new_state = State(step=state.step + 1, bad_steps=bad_steps, **new)
    return new_state, metrics | {"grad_norm": norm, **norms, "bad_steps": bad_steps}


def _norms(after: Params, before: Params) -> Scalars:
    """Of the parameters after a step, and of what it has added to them."""
    # a barrier: the step is compiled, and rounded, as it would be without these norms
    after, before = jax.lax.optimization_barrier((after, before))
    difference = jax.tree.map(jnp.subtract, after, before)
    return {"param_norm": optax.tree.norm(after), "update_norm": optax.tree.norm(difference)}


@struct.dataclass
class _Row:
    """Metrics of a step side by side: a loop then stores one array of each dtype, not every one.

    Attributes:
      names: of each dtype.
      values: of each dtype, [..., names].
    """

    names: tuple[tuple[str, ...], ...] = struct.field(pytree_node=False)
    values: tuple[Shaped[Array, "..."], ...]

    @classmethod
    def of(cls, metrics: dict[str, Shaped[Array, ""]]) -> "_Row":
        """The row of a step's metrics."""
        alike: dict[Any, list[str]] = {}
        for name, value in metrics.items():
            alike.setdefault(value.dtype, []).append(name)
        values = [jnp.stack([metrics[name] for name in names]) for names in alike.values()]
        return cls(names=tuple(map(tuple, alike.values())), values=tuple(values))

    def columns(self) -> dict[str, Shaped[Array, "*k"]]:
        """The metrics again, of one row or of many."""
        pairs = zip(self.names, self.values, strict=True)
        return {name: of[..., i] for names, of in pairs for i, name in enumerate(names)}


def make_chunk(
    model: Model,
    optimizer: Optimizer,
    transform: Callable,
    *,
    seed: int,
    batch_size: int,
    num_steps: int,
    ema_decay: float,
    ema_warmup: bool,
    microbatches: int,
    rolled: bool,
    constrain: Callable,
) -> Callable:
    """Returns (state, feed) -> (state, metrics [num_steps]): `num_steps` steps in one program.

    Args:
      model: what is trained.
      optimizer: from `vdp.training.optim.make`; the states are packed as it does.
      transform: (images, labels, rng) -> Batch.
      seed: with the step number it determines all randomness: fold_in(key(seed), step).
      batch_size: global.
      num_steps: steps of one dispatch.
      ema_decay: of the exponential moving average of the parameters.
      ema_warmup: whether the decay rises to it.
      microbatches: of every batch, whose gradients are added up.
      rolled: whether they are a loop of the program.
      constrain: splits batch and noise over the devices.
    """

    def one_step(
        state: State, images: UInt8[Array, "b h w c"], labels: Int32[Array, "b"]
    ) -> tuple[State, dict[str, Shaped[Array, ""]]]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        data_rng, noise_rng, net_rng = jax.random.split(rng, 3)
        batch = constrain(transform(images, labels, data_rng))
        noise = constrain(model.draw(noise_rng, batch, purpose="loss"))
        whole = dataclasses.replace(state, params=optimizer.unpack(state.params))
        metrics, stats, gradients = accumulation.accumulated(
            lambda stats, batch, rng, noise: loss_and_gradients(
                model, dataclasses.replace(whole, stats=stats), batch, rng, noise=noise
            ),
            whole.stats,
            batch,
            net_rng,
            noise,
            count=microbatches,
            rolled=rolled,
            constrain=constrain,
        )
        return apply_gradients(
            state,
            metrics,
            stats,
            optimizer.pack(gradients),
            optimizer=optimizer,
            ema_decay=ema_decay,
            ema_warmup=ema_warmup,
        )

    def chunk(state: State, feed: dict[str, Array]) -> tuple[State, dict[str, Shaped[Array, "k"]]]:
        def body(
            state: State, offset: Int32[Array, ""] | int
        ) -> tuple[State, dict[str, Shaped[Array, ""]]]:
            return one_step(state, *take(feed, offset, batch_size))

        def rows(state: State, offset: Int32[Array, ""]) -> tuple[State, _Row]:
            state, metrics = body(state, offset)
            return state, _Row.of(metrics)

        if num_steps == 1:  # gradients of convolutions inside a scan are slow on CPU
            state, metrics = body(state, 0)
            return state, jax.tree.map(lambda x: x[None], metrics)
        state, found = jax.lax.scan(rows, state, jnp.arange(num_steps))
        return state, found.columns()

    return chunk
