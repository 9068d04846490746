"""Networks with and without state of their own behind one pair of functions.

Flax keeps what a network changes while it runs in mutable collections: "batch_stats" (the running
averages of BatchNorm) and whatever else it names. The statistics of one network are the variables
of its "batch_stats" as they stand, {"BatchNorm_0": {"mean", "var"}, ...}, and under the key OTHERS,
where there are any, {collection: variables} of the others.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from vdp.errors import UserError
from vdp.runtime.trees import leaf_name
from vdp.types import AnyArray, Array, Key, Params, Stats

Rngs = dict[str, Key] | None  # flax's: {"dropout": key}
OTHERS = "+collections"  # no name that a module or variable can have by itself
_BATCH_NORM = inspect.unwrap(nn.BatchNorm.__call__)
_traced_anew = jax.make_user_context()


class Statistics(NamedTuple):
    """A network's statistics after a call.

    In training, for every nn.BatchNorm, `used` are the batch's own statistics and `running` the
    average they enter, by the layer's momentum; every other variable is what the network wrote.
    Otherwise both are what was given.
    """

    used: Stats
    running: Stats


def init(net: nn.Module, rng: Key, *args: Any) -> tuple[Params, Stats]:
    """Starts a net called with `args`: (parameters, statistics), either of which may be {}."""
    collections = dict(net.init(rng, *args))
    params = collections.pop("params", {})
    return params, jax.tree.map(jnp.asarray, _to_stats(collections))


def not_from_zero(net: nn.Module) -> nn.Module:
    """The net, its last layer not starting at zero where it has a choice (`zero_output`)."""
    return net.clone(zero_output=False) if getattr(net, "zero_output", False) else net


def init_stateless(net: nn.Module, rng: Key, *args: Any, role: str) -> Params:
    """Parameters of a net that may keep nothing else.

    Args:
      net: the network.
      rng: a key.
      args: what it is called with.
      role: of the net in what is said to the user, as "a denoiser".

    Raises:
      UserError: it has a mutable collection, which a net of this role cannot have.
    """
    collections = dict(net.init(rng, *args))
    params = collections.pop("params", {})
    if collections:
        raise UserError(
            f"{type(net).__name__} keeps {', '.join(sorted(collections))}, which {role} cannot "
            "have: choose layers that keep nothing but parameters, as GroupNorm or LayerNorm for "
            "BatchNorm"
        )
    return params


def apply(
    net: nn.Module,
    params: Params,
    stats: Stats,
    *args: Any,
    train: bool = False,
    rngs: Rngs = None,
) -> tuple[Array, Statistics]:
    """Calls a net: (its output, its `Statistics` after the call), which change in training alone.

    Args:
      net: the network.
      params: of `init`.
      stats: of `init`, or `Statistics.running` of an earlier call.
      args: what the net is called with.
      train: whether dropout is on and batches are normalised by themselves.
      rngs: flax's keys by name, {"dropout": key}; None where nothing is random.

    Raises:
      UserError: a variable changes its shape or its type in training, or is new there.
    """
    collections = _to_collections(stats)
    variables = {"params": params} | collections
    if not (train and stats):
        output: Any = net.apply(variables, *args, train=train, rngs=rngs)
        return output, Statistics(stats, stats)
    momenta: dict[str, float] = {}
    with _batch_norms_write_the_batch(momenta):
        output, written = net.apply(
            variables, *args, train=True, rngs=rngs, mutable=list(collections)
        )
    written = dict(written)
    changed = [name for name, old in collections.items() if _types(old) != _types(written[name])]
    if changed:
        raise UserError(
            f"{type(net).__name__} changes the shape or type of what it keeps in "
            f"{', '.join(changed)} while it trains: start every variable as it is to stay, and "
            'sow into no collection but "intermediates"'
        )

    def average(path: Any, old: AnyArray, new: AnyArray) -> AnyArray:
        momentum = momenta.get(leaf_name(path))
        return new if momentum is None else old + (1 - momentum) * (new - old)

    running = stop_gradient(written)
    if momenta:
        averages = (collections["batch_stats"], running["batch_stats"])
        running |= {"batch_stats": jax.tree_util.tree_map_with_path(average, *averages)}
    return output, Statistics(_to_stats(written), _to_stats(running))


def in_mode(train: bool, rng: Key) -> dict[str, Any]:
    """Keywords of `apply`. Every net has an `rng` of its own: by one, two drop the same units."""
    return {"train": train, "rngs": {"dropout": rng} if train else None}


def _to_stats(collections: Mapping[str, Any]) -> Stats:
    others = {name: tree for name, tree in collections.items() if name != "batch_stats"}
    return {**collections.get("batch_stats", {})} | ({OTHERS: others} if others else {})


def _to_collections(stats: Stats) -> dict[str, Any]:
    averages = {name: tree for name, tree in stats.items() if name != OTHERS}
    return ({"batch_stats": averages} if averages else {}) | stats.get(OTHERS, {})


def _types(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


@contextlib.contextmanager
def _batch_norms_write_the_batch(momenta: dict[str, float]) -> Iterator[None]:
    """Makes every nn.BatchNorm in training write the batch's own statistics as its average.

    Args:
      momenta: filled with {path of the average: factor of the old one in the new one}.
    """
    calls: dict[int, list[nn.Module]] = {}  # by identity; kept, so that no identity comes again

    def intercept(
        call: Callable, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
    ) -> Any:
        module = context.module
        if context.orig_method.func is not _BATCH_NORM:
            return call(*args, **kwargs)
        given = args[1] if len(args) > 1 else kwargs.get("use_running_average")
        if nn.merge_param("use_running_average", module.use_running_average, given):
            return call(*args, **kwargs)
        calls.setdefault(id(module), []).append(module)
        num = len(calls[id(module)])
        momentum = module.momentum
        for name in ("mean", "var"):
            momenta["/".join([*module.path, name])] = momentum**num
        # of several calls: the average of their batches in which flax's own weighs them
        weight = 1 / sum(momentum**power for power in range(num))
        object.__setattr__(module, "momentum", 1 - weight)
        try:
            return call(*args, **kwargs)
        finally:
            object.__setattr__(module, "momentum", momentum)

    # traced anew: a block under nn.jit that is cached would neither ask here nor be itself later
    with _traced_anew(object()), nn.intercept_methods(intercept):
        yield
