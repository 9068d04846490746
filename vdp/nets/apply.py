"""Nets with and without BatchNorm behind one pair of functions.

Networks write the statistics of the batch itself into "batch_stats" (momentum 0), so that whoever
calls them can use these as well as the running averages, which are kept here.
"""

import flax.linen as nn
import jax

from vdp.types import Array, Params, Stats

MOMENTUM = 0.9  # of the running averages


def init(net: nn.Module, rng: Array, *args) -> tuple[Params, Stats]:
    """(params, running statistics) of a net called with `args`; either may be {}."""
    variables = net.init(rng, *args)
    return variables.get("params", {}), variables.get("batch_stats", {})


def apply(
    net: nn.Module, params: Params, stats: Stats, *args, train: bool = False, rngs=None
) -> tuple[Array, Stats]:
    """(output, the statistics it was normalised by): `stats`, or in training the batch's own."""
    variables = {"params": params, "batch_stats": stats}
    if not (train and stats):
        return net.apply(variables, *args, train=train, rngs=rngs), stats
    output, updated = net.apply(variables, *args, train=True, rngs=rngs, mutable=["batch_stats"])
    return output, updated["batch_stats"]


def averaged(running: Stats, batch: Stats) -> Stats:
    """The running statistics after one more batch; constants stay what they are."""
    average = lambda old, new: old + (1 - MOMENTUM) * (jax.lax.stop_gradient(new) - old)
    return jax.tree.map(average, running, batch)
