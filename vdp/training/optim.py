"""The optimiser of `settings.optim`, from optax parts."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from vdp.errors import choose_from
from vdp.runtime.trees import leaf_name
from vdp.settings import Optim
from vdp.training.packing import Packing
from vdp.types import Array, Params

SCALINGS = {
    "adam": optax.scale_by_adam,
    "adamw": optax.scale_by_adam,
    "adamax": optax.scale_by_adamax,
}


@dataclasses.dataclass(frozen=True, order=True)
class Group:
    """How a leaf is treated: its learning-rate multiplier, decays of weights, and its range."""

    multiplier: float
    decayed: bool
    low: float = -math.inf
    high: float = math.inf
    shrunk: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optax transformation over packed trees.

    Attributes:
      init: params -> optimiser state, not packed: checkpoints hold it so.
      update: optax's (gradients, state, params) -> (updates, state), all of them packed.
      learning_rate: the schedule: step -> rate.
      packing: what packs them; None where leaves stay apart.
    """

    init: Callable
    update: Callable
    learning_rate: optax.Schedule
    packing: Packing | None = None

    def pack(self, tree: Any, numpy: Any = jnp) -> Any:
        """A state, or a part of it, as training carries it on; see `Packing.pack`."""
        return self.packing.pack(tree, numpy) if self.packing else tree

    def unpack(self, tree: Any) -> Any:
        """What was packed, with the leaves of the parameters."""
        return self.packing.unpack(tree) if self.packing else tree


def learning_rate(settings: Optim, total_steps: int) -> optax.Schedule:
    """Warm-up, then cosine or linear decay to `final_learning_rate`, constant, or wsd.

    The warm-up is linear from 0, or `warmup_stairs` equal steps up to the peak. "wsd" (warm-up,
    stable, decay; Hu et al. 2024) stays at the peak until the last `decay_steps`, which fall
    linearly: a run that goes on before them goes on as if it had been longer from the start.
    """
    peak, final, warmup = (
        settings.learning_rate,
        settings.final_learning_rate,
        settings.warmup_steps,
    )
    decay_steps = max(total_steps - warmup, 1)
    if settings.schedule == "cosine":
        decay = optax.cosine_decay_schedule(peak, decay_steps, alpha=final / peak if peak else 0.0)
    elif settings.schedule == "linear":
        decay = optax.linear_schedule(peak, final, decay_steps)
    elif settings.schedule == "wsd":
        tail = min(settings.decay_steps or math.ceil(total_steps / 10), decay_steps)
        decay = optax.linear_schedule(peak, final, tail, transition_begin=decay_steps - tail)
    else:
        decay = optax.constant_schedule(peak)
    if not warmup:
        return decay
    rise = optax.linear_schedule(0.0, peak, warmup)
    if settings.warmup_stairs:
        length = warmup / settings.warmup_stairs
        rise = lambda step: peak * (1 + step // length) / settings.warmup_stairs
    return optax.join_schedules([rise, decay], [warmup])


def _grouped(
    params: Params,
    multipliers: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    *,
    decay: bool,
    held: Sequence[str],
    unshrunk: Sequence[str],
) -> Any:
    """The `Group` of every leaf; its multiplier is that of the longest prefix of its path."""

    def of(key_path: jax.tree_util.KeyPath, _: Any) -> Group:
        path = leaf_name(key_path)
        among = lambda prefixes: [p for p in prefixes if path == p or path.startswith(f"{p}/")]
        matching = among(multipliers)
        multiplier = float(multipliers[max(matching, key=len)]) if matching else 1.0
        low, high = ranges.get(path, (-math.inf, math.inf))
        return Group(
            multiplier=0.0 if among(held) else multiplier,
            decayed=decay and path.endswith("kernel"),
            low=low,
            high=high,
            shrunk=not among(unshrunk),
        )

    return jax.tree_util.tree_map_with_path(of, params)


def _shrink(l2: Any) -> optax.GradientTransformation:
    """Adds the gradient of l2/2 |param|^2, leaf by leaf."""
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda u, p, c: u + c * p, updates, params, l2)
    )


def _multiply(factors: Any) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))


def _finished(factors: Any, ranges: Any) -> optax.GradientTransformation:
    """Multiplies, and shortens what leads out of a leaf's range: weight decay must not either."""

    def finish(
        update: Float[Array, "*s"],
        param: Float[Array, "*s"],
        factor: float,
        limits: tuple[float, float],
    ) -> Float[Array, "*s"]:
        update = update * factor
        if limits == (-math.inf, math.inf):
            return update
        return jnp.clip(param + update, *limits) - param

    return optax.stateless(
        lambda updates, params: jax.tree.map(finish, updates, params, factors, ranges)
    )


def make(
    settings: Optim,
    total_steps: int,
    params: Params,
    *,
    bits_per_nat: float = 1.0,
    packed: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    held: Sequence[str] = (),
    unshrunk: Sequence[str] = (),
) -> Optimizer:
    """Builds the optimiser.

    Args:
      settings: its fields. `l2` is added to the gradient (but of `unshrunk`), `weight_decay` is
        decoupled (kernels only); `groups` maps a prefix of the parameter path ("prior",
        "decoder/net") to a learning-rate multiplier, 0 freezes.
      total_steps: where the decay ends.
      params: parameters or their shapes, for the groups.
      bits_per_nat: bits per dimension of one nat: the gradient's factor where
        gradient_unit="bits_per_dim".
      packed: whether leaves treated alike are updated as one vector: less to compile; sharded
        parameters must stay apart.
      ranges: {path: (low, high)} of parameters that no update may lead out of.
      held: paths below which nothing is updated: `l2` has a gradient where the loss has none, and
        an adaptive optimiser makes a whole step of the smallest.
      unshrunk: paths below which L2 is not added.

    Raises:
      UserError: a group that changes something and matches no part.
    """
    groups = dict(settings.groups)
    empty = lambda tree: isinstance(tree, Mapping) and not tree  # as a likelihood of fixed scale
    found = jax.tree_util.tree_leaves_with_path(params, is_leaf=empty)
    paths = [leaf_name(path) for path, _ in found]
    for group, factor in groups.items():
        if factor != 1 and not any(p == group or p.startswith(f"{group}/") for p in paths):
            roles = {path.split("/")[0] for path in paths}
            raise choose_from("optim.groups entry", group, roles, near=_parts(paths))
    unit = bits_per_nat if settings.gradient_unit == "bits_per_dim" else 1.0
    about: Any = dict(decay=settings.weight_decay > 0, held=held, unshrunk=unshrunk)
    labels = _grouped(params, groups, ranges or {}, **about)
    rate = learning_rate(settings, total_steps)
    apart = _chain(settings, rate, unit, labels)
    if not packed:
        return Optimizer(init=apart.init, update=apart.update, learning_rate=rate)
    together = _chain(settings, rate, unit, {g: g for g in jax.tree.leaves(labels)})
    packing = Packing(labels=labels, shapes=params)
    return Optimizer(init=apart.init, update=together.update, learning_rate=rate, packing=packing)


def _parts(paths: Sequence[str]) -> list[str]:
    """Every path and all beginnings of it: what an entry of optim.groups can name."""
    split = [path.split("/") for path in paths]
    return ["/".join(names[:end]) for names in split for end in range(1, len(names) + 1)]


def _chain(
    settings: Optim, rate: optax.Schedule, unit: float, labels: Any
) -> optax.GradientTransformation:
    """The transformation for trees of the structure of `labels`, whose leaves are `Group`s."""
    factors = jax.tree.map(lambda group: group.multiplier, labels)
    decayed = jax.tree.map(lambda group: group.decayed, labels)
    l2 = jax.tree.map(lambda group: settings.l2 * group.shrunk, labels)
    ranges = jax.tree.map(lambda group: (group.low, group.high), labels)
    return optax.chain(
        _multiply(jax.tree.map(lambda factor: unit * (factor != 0), factors)),
        optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity(),
        _shrink(l2) if settings.l2 else optax.identity(),
        SCALINGS[settings.name](b1=settings.b1, b2=settings.b2, eps=settings.eps),
        optax.add_decayed_weights(settings.weight_decay, mask=decayed)
        if settings.weight_decay
        else optax.identity(),
        optax.scale_by_learning_rate(rate),
        _finished(factors, ranges),
    )
