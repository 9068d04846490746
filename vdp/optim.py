"""The optimiser of `config.optim`, from optax parts."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vdp.errors import UserError, choose_from
from vdp.packing import Packing

SCALINGS = {
    "adam": optax.scale_by_adam,
    "adamw": optax.scale_by_adam,
    "adamax": optax.scale_by_adamax,
}
SCHEDULES = ("cosine", "linear", "constant")
GRADIENT_UNITS = ("nats", "bits_per_dim")


@dataclasses.dataclass(frozen=True, order=True)
class Group:
    """How a leaf is treated: its learning-rate multiplier, decay of weights, and its range."""

    multiplier: float
    decayed: bool
    low: float = -math.inf
    high: float = math.inf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optax transformation over packed trees.

    Attributes:
      init: params -> optimiser state, not packed: checkpoints hold it so.
      update: optax's (gradients, state, params) -> (updates, state), all of them packed.
      packing: what packs them; None where leaves stay apart.
    """

    init: Callable
    update: Callable
    packing: Packing | None = None


def learning_rate(config, total_steps: int) -> optax.Schedule:
    """Warm-up, then cosine or linear decay to `final_learning_rate`, or constant.

    The warm-up is linear from 0, or `warmup_stairs` equal steps up to the peak.
    """
    peak, final, warmup = config.learning_rate, config.final_learning_rate, config.warmup_steps
    if config.schedule not in SCHEDULES:
        raise choose_from("optim.schedule", config.schedule, SCHEDULES)
    decay_steps = max(total_steps - warmup, 1)
    if config.schedule == "cosine":
        decay = optax.cosine_decay_schedule(peak, decay_steps, alpha=final / peak if peak else 0.0)
    elif config.schedule == "linear":
        decay = optax.linear_schedule(peak, final, decay_steps)
    else:
        decay = optax.constant_schedule(peak)
    if not warmup:
        return decay
    rise = optax.linear_schedule(0.0, peak, warmup)
    if config.warmup_stairs:
        length = warmup / config.warmup_stairs
        rise = lambda step: peak * (1 + step // length) / config.warmup_stairs
    return optax.join_schedules([rise, decay], [warmup])


def _path_of(key_path) -> str:
    return "/".join(str(getattr(key, "key", key)) for key in key_path)


def _grouped(params, multipliers: Mapping[str, float], ranges: Mapping, *, decay: bool):
    """The `Group` of every leaf; its multiplier is that of the longest prefix of its path."""

    def of(key_path, _):
        path = _path_of(key_path)
        matching = [p for p in multipliers if path == p or path.startswith(f"{p}/")]
        multiplier = float(multipliers[max(matching, key=len)]) if matching else 1.0
        return Group(multiplier, decay and path.endswith("kernel"), *ranges.get(path, ()))

    return jax.tree_util.tree_map_with_path(of, params)


def _multiply(factors) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))


def _finished(factors, ranges) -> optax.GradientTransformation:
    """Multiplies, and shortens what leads out of a leaf's range: weight decay must not either."""

    def finish(update, param, factor, limits):
        update = update * factor
        if limits == (-math.inf, math.inf):
            return update
        return jnp.clip(param + update, *limits) - param

    return optax.stateless(
        lambda updates, params: jax.tree.map(finish, updates, params, factors, ranges)
    )


def make(
    config,
    total_steps: int,
    params,
    *,
    bits_per_nat: float = 1.0,
    packed: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Optimizer:
    """Builds the optimiser.

    Args:
      config: `config.optim`. `l2` is added to the gradient (all parameters), `weight_decay` is
        decoupled (kernels only); `groups` maps a prefix of the parameter path ("prior",
        "decoder/net") to a learning-rate multiplier, 0 freezes.
      total_steps: where the decay ends.
      params: parameters or their shapes, for the groups.
      bits_per_nat: bits per dimension of one nat: the gradient's factor where
        gradient_unit="bits_per_dim".
      packed: whether leaves treated alike are updated as one vector: less to compile; sharded
        parameters must stay apart.
      ranges: {path: (low, high)} of parameters that no update may lead out of.

    Raises:
      UserError: an unknown name, or a group that changes something and matches no parameter.
    """
    if config.name not in SCALINGS:
        raise choose_from("optim.name", config.name, SCALINGS)
    if config.gradient_unit not in GRADIENT_UNITS:
        raise choose_from("optim.gradient_unit", config.gradient_unit, GRADIENT_UNITS)
    if config.name == "adam" and config.weight_decay:
        raise UserError("optim.weight_decay is decoupled: choose optim.name=adamw, or use optim.l2")
    groups = dict(config.groups)
    paths = [_path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for group, factor in groups.items():
        if factor != 1 and not any(p == group or p.startswith(f"{group}/") for p in paths):
            raise choose_from("optim.groups entry", group, {p.split("/")[0] for p in paths})
    unit = bits_per_nat if config.gradient_unit == "bits_per_dim" else 1.0
    labels = _grouped(params, groups, ranges or {}, decay=config.weight_decay > 0)
    apart = _chain(config, total_steps, unit, labels)
    if not packed:
        return Optimizer(init=apart.init, update=apart.update)
    together = _chain(config, total_steps, unit, {g: g for g in jax.tree.leaves(labels)})
    packing = Packing(labels=labels, shapes=params)
    return Optimizer(init=apart.init, update=together.update, packing=packing)


def _chain(config, total_steps: int, unit: float, labels) -> optax.GradientTransformation:
    """The transformation for trees of the structure of `labels`, whose leaves are `Group`s."""
    factors = jax.tree.map(lambda group: group.multiplier, labels)
    decayed = jax.tree.map(lambda group: group.decayed, labels)
    ranges = jax.tree.map(lambda group: (group.low, group.high), labels)
    return optax.chain(
        _multiply(jax.tree.map(lambda factor: unit * (factor != 0), factors)),
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.add_decayed_weights(config.l2) if config.l2 else optax.identity(),
        SCALINGS[config.name](b1=config.b1, b2=config.b2, eps=config.eps),
        optax.add_decayed_weights(config.weight_decay, mask=decayed)
        if config.weight_decay
        else optax.identity(),
        optax.scale_by_learning_rate(learning_rate(config, total_steps)),
        _finished(factors, ranges),
    )
