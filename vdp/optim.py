"""The optimiser of `config.optim`, from optax parts."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from vdp.errors import UserError, choose_from

SCALINGS = {
    "adam": optax.scale_by_adam,
    "adamw": optax.scale_by_adam,
    "adamax": optax.scale_by_adamax,
}
SCHEDULES = ("cosine", "linear", "constant")
GRADIENT_UNITS = ("nats", "bits_per_dim")


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


def _multipliers(params, groups: Mapping[str, float]):
    """For every leaf the multiplier of the longest group that is a prefix of its path, else 1."""

    def of(key_path, _):
        path = _path_of(key_path)
        matching = [g for g in groups if path == g or path.startswith(f"{g}/")]
        return float(groups[max(matching, key=len)]) if matching else 1.0

    return jax.tree_util.tree_map_with_path(of, params)


def _multiply(factors) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))


def make(
    config, total_steps: int, params, *, bits_per_nat: float = 1.0
) -> optax.GradientTransformation:
    """Builds the optimiser.

    Args:
      config: `config.optim`. `l2` is added to the gradient (all parameters), `weight_decay` is
        decoupled (kernels only); `groups` maps a prefix of the parameter path ("prior",
        "decoder/net") to a learning-rate multiplier, 0 freezes.
      total_steps: where the decay ends.
      params: parameters or their shapes, for the groups.
      bits_per_nat: bits per dimension of one nat: the gradient's factor where
        gradient_unit="bits_per_dim".

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
    factors = _multipliers(params, groups)
    kernels = jax.tree_util.tree_map_with_path(
        lambda path, _: _path_of(path).endswith("kernel"), params
    )
    unit = bits_per_nat if config.gradient_unit == "bits_per_dim" else 1.0
    return optax.chain(
        _multiply(jax.tree.map(lambda factor: unit * (factor != 0), factors)),
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.add_decayed_weights(config.l2) if config.l2 else optax.identity(),
        SCALINGS[config.name](b1=config.b1, b2=config.b2, eps=config.eps),
        optax.add_decayed_weights(config.weight_decay, mask=kernels)
        if config.weight_decay
        else optax.identity(),
        optax.scale_by_learning_rate(learning_rate(config, total_steps)),
        _multiply(factors),
    )
